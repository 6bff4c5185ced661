"""OCI archives, as small as they come."""

import gzip
import hashlib
import json
from typing import Any

from release.archives import Member, tar

Files = dict[str, str]


def archive(*layers: Files, base_digest: str = "", is_nested: bool = True, **changes: Any) -> dict[str, Member]:
    """The members of an archive whose image has these layers."""
    blobs: dict[str, Member] = {}

    def put(content: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = Member(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    packed = [
        gzip.compress(tar({name: Member(text.encode()) for name, text in each.items()}, 0), mtime=0) for each in layers
    ]
    manifest = {
        "schemaVersion": 2,
        "config": put(
            json.dumps({"os": "linux", "architecture": "amd64"}).encode(), "application/vnd.oci.image.config.v1+json"
        ),
        "layers": [put(each, "application/vnd.oci.image.layer.v1.tar+gzip") for each in packed],
        "annotations": {"org.opencontainers.image.base.digest": base_digest} if base_digest else {},
    }
    descriptor = put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    if is_nested:
        index = {"schemaVersion": 2, "manifests": [descriptor]}
        descriptor = put(json.dumps(index).encode(), "application/vnd.oci.image.index.v1+json")
    index = {"schemaVersion": 2, "manifests": [descriptor], **changes}
    return {
        "oci-layout": Member(b'{"imageLayoutVersion": "1.0.0"}'),
        "index.json": Member(json.dumps(index).encode()),
        **blobs,
    }
