# syntax=docker/dockerfile:1
# One image, two processes: `python -m datasource_operator` and `python -m callback_server`.
# Not built where it was written (no container runtime there); its pip steps were run by hand instead.

FROM python:3.11-slim AS build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# Dependencies first: they change less often than the code.
COPY requirements/run.txt requirements/build.txt requirements/
RUN pip install --no-deps --require-hashes --only-binary=:all: --requirement requirements/run.txt
# What builds the wheel stays out of the image.
RUN python -m venv /opt/build && /opt/build/bin/pip install --no-deps --require-hashes --requirement requirements/build.txt
COPY pyproject.toml README.md ./
COPY operator operator
COPY callback_server callback_server
COPY datasource datasource
# Part of the wheel; what it needs besides is not installed, and neither process imports it.
COPY kubectl_datasource kubectl_datasource
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . && pip install --no-deps /wheels/*.whl

FROM python:3.11-slim
# A name for the uid and a HOME: libraries ask for both. Numeric in USER, so that kubelet can tell it is not root.
RUN useradd --uid 65532 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin datasource
COPY --from=build /opt/venv /opt/venv
# The root file system is read-only in the cluster.
ENV PATH=/opt/venv/bin:$PATH HOME=/nonexistent PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
CMD ["python", "-m", "datasource_operator"]
