"""What pip and apt of any machine are told reaches a build, and nothing that would change what is built."""

from pathlib import Path

import pytest

from deploy.local.image.machine import Debian, Mount, debian_in, paths_in, pip_conf, pip_settings


def test_environment_wins_over_files_as_it_does_for_pip() -> None:
    listed = "\n".join(
        [
            "global.index-url='https://a.example/simple'",
            "install.index-url='https://b.example'",
            ":env:.index-url='https://c.example'",
        ]
    )
    assert pip_settings(listed, {}) == {"index-url": "https://c.example"}
    assert pip_settings(listed.rpartition("\n")[0], {}) == {"index-url": "https://b.example"}


def test_only_what_reaches_packages_is_taken() -> None:
    listed = "global.user='true'\nglobal.target='/t'\nfreeze.timeout='9'\n:env:.default-timeout='180'"
    assert pip_settings(listed, {}) == {"timeout": "180"}


def test_bundle_that_requests_would_read_is_a_certificate_of_pip() -> None:
    environ = {"REQUESTS_CA_BUNDLE": "/certs/all.pem", "CURL_CA_BUNDLE": "/certs/other.pem"}
    assert pip_settings("", environ) == {"cert": "/certs/all.pem"}
    assert pip_settings("global.cert='/own.pem'", environ) == {"cert": "/own.pem"}
    assert pip_settings("", {}) == {}


@pytest.mark.parametrize("value", ["/a b", "it's", "x=y", "https://user:p%40ss@host/simple?a=1"])
def test_value_is_read_as_pip_prints_it(value: str) -> None:
    assert pip_settings(f"global.index-url={value!r}", {}) == {"index-url": value}


def test_several_values_are_written_on_lines_of_their_own() -> None:
    settings = pip_settings("global.find-links='/a\\n/b'", {})
    assert pip_conf(settings) == "[global]\nfind-links = /a\n  /b\n"


def test_files_that_settings_name_are_mounted_where_they_are(tmp_path: Path) -> None:
    bundle = tmp_path / "all.pem"
    bundle.touch()
    settings = {
        "cert": str(bundle),
        "find-links": f"{tmp_path}\n/there/is/none",
        "index-url": "https://a.example/simple",
    }
    assert paths_in(settings) == [tmp_path, bundle]
    assert Mount(bundle, bundle).option == f"--volume={bundle}:{bundle}:ro"


def test_mirror_is_that_of_the_release_and_not_of_its_updates() -> None:
    lines = [
        "bookworm-security http://a.example/debian-security/",
        "bookworm-updates http://a.example/debian/",
        "bookworm http://a.example/debian/",
        "nodistro https://b.example/node_20.x/",
    ]
    assert debian_in("\n".join(lines)) == Debian("bookworm", "http://a.example/debian/")
    assert debian_in("jammy http://a.example/ubuntu/") is None
    assert debian_in("") is None
