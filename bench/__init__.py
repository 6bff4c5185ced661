"""`make bench`, or `python -m bench NAME ...`: what the operator costs, each time beside a raw driver in the same run.

The raw driver is a bare asyncio client with 32 requests in flight. It makes the same requests that our process has to make,
against the same control plane, a moment before or after it. Absolute figures mean little on a shared machine; ratios do.
"""
