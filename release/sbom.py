"""Software bills of materials, as CycloneDX 1.6: of the image what is found in it, of a wheel what its lock file pins."""

import re
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.parser import HeaderParser
from typing import Any
from urllib.parse import quote

from release.image import DPKG_STATUS, OS_RELEASE, PlatformImage

Component = dict[str, Any]

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/datasource-operator")


def bill(subject: Component, components: Iterable[Component], epoch: int) -> dict[str, Any]:
    """The bill of a subject. Its serial number follows from what it says, so the same release has the same."""
    found = sorted({each["bom-ref"]: each for each in components}.values(), key=lambda each: str(each["bom-ref"]))
    refs = [each["bom-ref"] for each in found]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, repr((subject, found)))}",
        "version": 1,
        "metadata": {"timestamp": datetime.fromtimestamp(epoch, UTC).isoformat(), "component": subject},
        "components": found,
        "dependencies": [{"ref": subject["bom-ref"], "dependsOn": refs}, *({"ref": ref} for ref in refs)],
    }


def package(name: str, version: str, *, license_: str = "", hashes: Iterable[str] = ()) -> Component:
    """A package of PyPI. `hashes` are sha256 of its files, of which one was installed."""
    normal = re.sub(r"[-_.]+", "-", name).lower()
    purl = f"pkg:pypi/{normal}@{quote(version, safe='')}"
    made: Component = {"type": "library", "bom-ref": purl, "name": normal, "version": version, "purl": purl}
    if license_:
        made["licenses"] = [{"license": {"name": license_}}]
    if hashes:
        known = [{"alg": "SHA-256", "content": each} for each in hashes]
        made["externalReferences"] = [{"type": "distribution", "url": purl, "hashes": known}]
    return made


def locked(lock: str) -> Iterator[Component]:
    """The packages of a requirements file that pip-compile wrote."""
    for name, version, rest in re.findall(
        r"^([A-Za-z0-9._-]+)==(\S+)((?: \\\n\s+--hash=\S+)*)", lock, flags=re.MULTILINE
    ):
        yield package(name, version, hashes=re.findall(r"sha256:([0-9a-f]{64})", rest))


def installed(image: PlatformImage) -> Iterator[Component]:
    """The packages of PyPI and of Debian that an image holds."""
    for path, content in image.files.items():
        if path.endswith("METADATA"):
            told = HeaderParser().parsestr(content.decode(errors="replace"))
            license_ = told.get("License-Expression") or ""
            yield package(str(told["Name"]), str(told["Version"]), license_=license_)
    distribution = _distribution(image)
    for stanza in image.files.get(DPKG_STATUS, b"").decode(errors="replace").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Architecture|Status): (.+)$", stanza, flags=re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            yield _debian(fields["Package"], fields["Version"], fields["Architecture"], distribution)


def _debian(name: str, version: str, architecture: str, distribution: str) -> Component:
    place = f"{distribution.partition('-')[0] or 'debian'}/{quote(name, safe='')}@{quote(version, safe='')}"
    qualifiers = f"arch={architecture}" + (f"&distro={distribution}" if distribution else "")
    purl = f"pkg:deb/{place}?{qualifiers}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _distribution(image: PlatformImage) -> str:
    """Such as debian-12; empty where the image does not say."""
    text = next((image.files[path] for path in OS_RELEASE if path in image.files), b"").decode(errors="replace")
    fields = dict(re.findall(r'^(ID|VERSION_ID)="?([\w.]+)"?$', text, flags=re.MULTILINE))
    return "-".join(fields[key] for key in ("ID", "VERSION_ID") if key in fields)
