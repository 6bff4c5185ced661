# syntax=docker/dockerfile:1
# One image, two processes: `python -m datasource_operator` and `python -m callback_server`.
# Not built where it was written (no container runtime there); its pip steps were run by hand instead.

FROM python:3.11-slim AS build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# Dependencies first: they change less often than the code.
COPY requirements/run.txt requirements/run.txt
RUN pip install --require-hashes --only-binary=:all: --requirement requirements/run.txt
COPY pyproject.toml README.md ./
COPY operator operator
COPY callback_server callback_server
COPY datasource datasource
RUN pip install --no-deps .

FROM python:3.11-slim
# A name for the uid: some libraries ask for it. Numeric in USER, so that kubelet can tell it is not root.
RUN useradd --uid 65532 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin datasource
COPY --from=build /opt/venv /opt/venv
# The root file system is read-only in the cluster.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
CMD ["python", "-m", "datasource_operator"]
