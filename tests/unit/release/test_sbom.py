"""Bills of materials, held against CycloneDX's own schema."""

import json
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy.local.cache import REPOSITORY
from release.image import PlatformImage
from release.sbom import bill, installed, locked, package

STATUS = """Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.41-12+deb13u1
Description: a library
 Version: not this one

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1:2.0
"""

METADATA = """Metadata-Version: 2.4
Name: Foo_Bar
Version: 1+local
License-Expression: MIT

Version: 9
"""

FILES = {
    "opt/a/Foo_Bar-1.dist-info/METADATA": METADATA,
    "var/lib/dpkg/status": STATUS,
    "etc/os-release": 'PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="13"\n',
}
IMAGE = PlatformImage("linux/amd64", "sha256:1", "", {name: text.encode() for name, text in FILES.items()})


def problem(made: dict[str, Any]) -> object:
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(made))


@pytest.mark.parametrize("name", ["run.txt", "plugin.txt"])
def test_bill_of_a_lock_file_names_every_pin_and_its_hashes(name: str) -> None:
    text = (REPOSITORY / "requirements" / name).read_text()
    components = list(locked(text))
    assert len(components) == sum("==" in line for line in text.splitlines())
    assert all(each["externalReferences"][0]["hashes"] for each in components)


def test_bill_of_a_lock_file_meets_the_schema() -> None:
    text = (REPOSITORY / "requirements" / "build.txt").read_text()
    assert problem(bill(package("ours", "1"), locked(text), 0)) is None


def test_bill_of_an_image_names_what_is_installed_in_it() -> None:
    made = bill(package("image", "1", license_="Apache-2.0"), installed(IMAGE), 1_700_000_000)
    assert problem(made) is None
    assert [each["purl"] for each in made["components"]] == [
        "pkg:deb/debian/libc6@2.41-12%2Bdeb13u1?arch=amd64&distro=debian-13",
        "pkg:pypi/foo-bar@1%2Blocal",
    ]


def test_image_without_debian_has_the_packages_of_pypi_all_the_same() -> None:
    only = PlatformImage(
        "linux/amd64", "sha256:1", "", {k: v for k, v in IMAGE.files.items() if k.endswith("METADATA")}
    )
    assert [each["name"] for each in installed(only)] == ["foo-bar"]


def test_same_bill_has_the_same_number_and_another_another() -> None:
    made = [bill(package("a", version), installed(IMAGE), 0)["serialNumber"] for version in ("1", "1", "2")]
    assert made[0] == made[1] != made[2]


def test_schema_tells_a_bill_that_is_none() -> None:
    assert problem({**bill(package("a", "1"), (), 0), "components": [{"type": "nothing"}]}) is not None
