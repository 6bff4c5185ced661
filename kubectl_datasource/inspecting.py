"""`inspect NAME`: what is in the Secrets of a Datasource: keys, sizes and times, never a value. Pure."""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from datasource.api.names import Annotation
from kubectl_datasource.listing import when
from kubectl_datasource.words import Cell, Line, aligned, printable

_TIMES = {
    Annotation.EXPIRES_AT: "expires",
    Annotation.REFRESHED_AT: "refreshed",
    Annotation.AUTHORIZED_AT: "authorized",
}


def sizes(secret: Mapping[str, Any]) -> dict[str, int | None]:
    """How many bytes stand under each key; None where that is no base64."""
    return {key: _size(value) for key, value in sorted((secret.get("data") or {}).items())}


def summary(secret: Mapping[str, Any]) -> dict[str, Any]:
    """What may be shown of a Secret."""
    metadata = secret["metadata"]
    annotations = metadata.get("annotations") or {}
    return {
        "name": metadata["name"],
        "type": secret.get("type", "Opaque"),
        "created": metadata.get("creationTimestamp"),
        "times": {name: annotations[key] for key, name in _TIMES.items() if key in annotations},
        "bytes": sizes(secret),
    }


def lines(what: str, found: Mapping[str, Any] | None, now: datetime) -> Iterator[Line]:
    """The summary of one Secret; None: there is none."""
    if found is None:
        yield (Cell(f"{what}: there is none", "yellow"),)
        return
    yield (Cell(f"{what}: {printable(found['name'])}", "bold"), Cell(f" ({printable(found['type'])})"))
    for name, moment in (("created", found["created"]), *found["times"].items()):
        if moment:
            yield (Cell(f"  {name} {when(moment, now)}"),)
    rows = [
        (Cell(f"  {printable(key)}"), Cell("?" if size is None else str(size))) for key, size in found["bytes"].items()
    ]
    yield from aligned(("  key", "bytes"), rows)


def _size(value: Any) -> int | None:
    try:
        return len(b64decode(str(value), validate=True))
    except ValueError:
        return None
