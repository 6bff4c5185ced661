"""`python -m bench.lister URL CA_FILE` with a token on standard input: the raw driver of restart and memory.

Lists what the operator lists, keeps it decoded, and prints one line of JSON: seconds, CPU seconds and KiB that it took.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from bench.bare import JSON, METADATA_LIST, Bare, label_selector, selector
from bench.meter import cpu_seconds, resident_kib
from datasource.api.names import SecretType

PAGE = 500


async def main(url: str, ca_file: Path, token: str) -> None:
    """List, and tell what it took."""
    pid = os.getpid()
    before, cpu, begun = resident_kib(pid), cpu_seconds(pid), time.monotonic()
    kept: list[Any] = []
    async with Bare(url, ca_file, token, "bench-raw") as raw:
        kept += await _listed(raw, f"/apis/datasource.dev/v1alpha1/datasources?limit={PAGE}", JSON)
        for type_ in (SecretType.CREDENTIAL, SecretType.TOKEN):
            path = f"/api/v1/secrets?limit={PAGE}&{selector(f'type={type_}')}"
            kept += await _listed(raw, path, METADATA_LIST)
        path = f"/api/v1/secrets?limit={PAGE}&{label_selector('datasource.dev/role=token')}"
        kept += await _listed(raw, path, METADATA_LIST)
    took = {
        "objects": len(kept),
        "seconds": time.monotonic() - begun,
        "cpu": cpu_seconds(pid) - cpu,
        "kib": resident_kib(pid) - before,
    }
    sys.stdout.write(json.dumps(took) + "\n")


async def _listed(raw: Bare, path: str, accept: str) -> list[Any]:
    items: list[Any] = []
    goes_on = ""
    while True:
        page = json.loads(await raw.send("GET", path + goes_on, accept=accept))
        items += page["items"] or []  # null where there are none
        if not page["metadata"].get("continue"):
            return items
        goes_on = f"&continue={page['metadata']['continue']}"


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Path(sys.argv[2]), sys.stdin.read().strip()))
