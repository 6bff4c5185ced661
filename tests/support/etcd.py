"""I/O: etcd itself, through its JSON gateway: what the API server does not offer."""

import base64
import json
import urllib.request
from typing import Any

_PATIENCE = 300.0
"""Seconds: much may be kept."""


def ask(url: str, path: str, body: dict[str, Any]) -> Any:
    """A request to the gateway at a client URL, such as /v3/kv/range."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url + path, data=json.dumps(body).encode(), headers=headers)  # noqa: S310 - our own etcd
    with urllib.request.urlopen(request, timeout=_PATIENCE) as response:  # noqa: S310
        return json.load(response)


def compact(url: str) -> None:
    """Have it forget everything but the present; watches that go on from an older revision get 410."""
    revision = ask(url, "/v3/kv/range", {"key": base64.b64encode(b"/").decode()})["header"]["revision"]
    ask(url, "/v3/kv/compaction", {"revision": revision, "physical": True})


def value(url: str, key: str) -> bytes:
    """What stands at a key."""
    answer = ask(url, "/v3/kv/range", {"key": base64.b64encode(key.encode()).decode()})
    (kept,) = answer["kvs"]
    return base64.b64decode(kept["value"])
