"""The domain of the Datasource Operator, shared by the operator and the callback server.

Pure unless a module says I/O: no module here imports kopf, starlette or one of the two processes.
"""
