"""The manifest names each archive as it is; krew's own check of it is in tests/release."""

import yaml

from release.krew import manifest

ARCHIVES = {
    "kubectl-datasource-0.2.0-rc.1-linux-amd64.tar.gz": "a" * 64,
    "kubectl-datasource-0.2.0-rc.1-windows-arm64.zip": "b" * 64,
}


def test_every_archive_is_a_platform() -> None:
    made = yaml.safe_load(manifest("0.2.0-rc.1", ARCHIVES, "https://example.com/v", "https://example.com"))
    linux, windows = made["spec"]["platforms"]
    assert linux["selector"] == {"matchLabels": {"os": "linux", "arch": "amd64"}}
    assert windows["selector"] == {"matchLabels": {"os": "windows", "arch": "arm64"}}
    assert linux["uri"] == "https://example.com/v/kubectl-datasource-0.2.0-rc.1-linux-amd64.tar.gz"
    assert (linux["bin"], windows["bin"]) == ("kubectl-datasource", "kubectl-datasource.exe")
    assert [each["sha256"] for each in (linux, windows)] == list(ARCHIVES.values())


def test_homepage_that_nobody_told_is_not_made_up() -> None:
    assert "homepage" not in yaml.safe_load(manifest("0.2.0-rc.1", ARCHIVES, "https://example.com/v", ""))["spec"]
