#!/bin/sh
# Pin what is installed, hashes included; the files name no index. Run it as `make lock`.
set -eu
cd "$(dirname "$0")/.."
unset PIP_FIND_LINKS
compile() {
  CUSTOM_COMPILE_COMMAND="make lock" .venv/bin/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host "$@"
}
compile --output-file requirements/run.txt pyproject.toml
compile --output-file requirements/dev.txt pyproject.toml packages/kubectl-datasource/pyproject.toml requirements/dev.in
compile --output-file requirements/site.txt requirements/site.in
compile --output-file requirements/build.txt requirements/build.in
compile --output-file requirements/tools.txt requirements/tools.in
compile --output-file requirements/plugin.txt packages/kubectl-datasource/pyproject.toml requirements/plugin.in
