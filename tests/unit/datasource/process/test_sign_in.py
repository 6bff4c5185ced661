"""Settings of sign-in: what kube-apiserver's flags mean, and a remedy for each mistake."""

from pathlib import Path

import pytest

from datasource.process.settings import InvalidSettings, settings_in
from datasource.process.sign_in import DEFAULT_SCOPES, SignIn, UnusableSignIn, sign_in_in
from datasource.process.sign_in_variables import VARIABLES
from tests.support.hostile_provider import self_signed

ISSUER = "https://login.example.com/realm"
NEEDED = {"ISSUER": ISSUER, "CLIENT_ID": "connect", "SECRET_FILE": "/run/secret"}


def environ(**given: str | None) -> dict[str, str]:
    whole = NEEDED | given
    return {f"DATASOURCE_SIGN_IN_{name}": value for name, value in whole.items() if value is not None}


def read(**given: str | None) -> SignIn:
    found = sign_in_in(environ(**given), allow_insecure_http=False)
    assert found is not None
    return found


@pytest.mark.parametrize("nothing", [{}, dict.fromkeys(VARIABLES, ""), {"DATASOURCE_SIGN_IN_ISSUER": "  "}])
def test_without_its_settings_nobody_signs_in(nothing: dict[str, str]) -> None:
    assert sign_in_in(nothing, allow_insecure_http=False) is None


def test_defaults_are_those_of_kube_apiserver() -> None:
    assert read() == SignIn(
        issuer=ISSUER,
        client_id="connect",
        secret_file=Path("/run/secret"),
        scopes=DEFAULT_SCOPES,
        username_claim="sub",
        username_prefix=f"{ISSUER}#",
        groups_claim="",
        groups_prefix="",
        ca_file=None,
    )


@pytest.mark.parametrize(
    ("given", "prefix"),
    [
        ({}, f"{ISSUER}#"),
        ({"USERNAME_CLAIM": "upn"}, f"{ISSUER}#"),
        ({"USERNAME_CLAIM": "email"}, ""),
        ({"USERNAME_PREFIX": "-"}, ""),
        ({"USERNAME_PREFIX": "oidc:"}, "oidc:"),
        ({"USERNAME_PREFIX": "oidc: "}, "oidc: "),
        ({"USERNAME_CLAIM": "email", "USERNAME_PREFIX": "oidc:"}, "oidc:"),
        ({"USERNAME_CLAIM": "email", "USERNAME_PREFIX": "-"}, ""),
        ({"USERNAME_PREFIX": "--"}, "--"),
    ],
)
def test_prefix_of_names_is_the_issuer_unless_the_claim_is_email_or_somebody_says_so(
    given: dict[str, str], prefix: str
) -> None:
    assert read(**given).username_prefix == prefix


@pytest.mark.parametrize("prefix", ["", "oidc:", "-"])
def test_groups_have_the_prefix_that_is_written(prefix: str) -> None:
    found = read(GROUPS_CLAIM="groups", GROUPS_PREFIX=prefix)
    assert (found.groups_claim, found.groups_prefix) == ("groups", prefix)


@pytest.mark.parametrize("written", ["openid email groups", "openid,email,groups", " openid, email  groups "])
def test_scopes_are_a_list(written: str) -> None:
    assert read(SCOPES=written).scopes == ("openid", "email", "groups")


def test_issuer_may_be_on_loopback_and_elsewhere_over_http_where_that_is_allowed() -> None:
    assert read(ISSUER="http://127.0.0.1:8080").host == "127.0.0.1"
    in_cluster = sign_in_in(environ(ISSUER="http://dex.dex.svc:5556"), allow_insecure_http=True)
    assert in_cluster is not None
    assert in_cluster.host == "dex.dex.svc"


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"ISSUER": None}, "ISSUER must be set where DATASOURCE_SIGN_IN_CLIENT_ID is"),
        ({"CLIENT_ID": None}, "CLIENT_ID must be set"),
        ({"SECRET_FILE": None}, "SECRET_FILE must be set"),
        ({"ISSUER": "login.example.com"}, "ISSUER is not an absolute"),
        ({"ISSUER": "http://login.example.com"}, "ISSUER is not https"),
        ({"ISSUER": "https://a:b@login.example.com"}, "ISSUER carries a user name"),
        ({"ISSUER": "https://login.example.com#x"}, "ISSUER carries a fragment"),
        ({"ISSUER": "https://1.2.3.4.5"}, "ISSUER names a host that is neither"),
        ({"ISSUER": "https://login.example.com/?a=b"}, "ISSUER must have no query"),
        ({"SCOPES": "email"}, "SCOPES must have openid"),
        ({"SCOPES": "openid offline_access"}, "SCOPES must not have offline_access"),
        ({"USERNAME_PREFIX": "system:"}, "USERNAME_PREFIX must not begin with system:"),
        ({"GROUPS_PREFIX": "system:x"}, "GROUPS_PREFIX must not begin with system:"),
        ({"GROUPS_PREFIX": "x" * 257}, "GROUPS_PREFIX must be at most 256"),
        ({"USERNAME_CLAIM": "a\nb"}, "USERNAME_CLAIM must be one line"),
        ({"CLIENT_ID": "x" * 2049}, "CLIENT_ID must be one line of at most 2048"),
    ],
)
def test_bad_setting_is_told_with_its_variable(given: dict[str, str | None], names: str) -> None:
    with pytest.raises(InvalidSettings, match=f"DATASOURCE_SIGN_IN_{names}"):
        settings_in({"DATASOURCE_EXTERNAL_URL": "https://connect.example.com"} | environ(**given))


def test_secret_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    found = read(SECRET_FILE=str(file))
    file.write_text("one\n")
    assert found.client_secret() == "one"
    file.write_text("two")
    assert found.client_secret() == "two"


@pytest.mark.parametrize("content", [b"", b" \n", b"a\nb", b"x" * 4097, b"\xff\xfe"])
def test_file_without_a_secret_is_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(UnusableSignIn, match="DATASOURCE_SIGN_IN_SECRET_FILE must name a file"):
        read(SECRET_FILE=str(file)).check_files()


def test_file_that_is_not_there_is_told_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(UnusableSignIn, match=r"SECRET_FILE must .*no-such-file: No such file"):
        read(SECRET_FILE=str(tmp_path / "no-such-file")).client_secret()


def test_authorities_are_read_and_checked(tmp_path: Path) -> None:
    assert read().ca_bundle() is None
    file = tmp_path / "ca.crt"
    file.write_text(self_signed("login.example.com").certificate)
    assert read(CA_FILE=str(file)).ca_bundle() == file.read_text()
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    read(CA_FILE=str(file), SECRET_FILE=str(secret)).check_files()
    file.write_text("no certificate")
    with pytest.raises(UnusableSignIn, match="DATASOURCE_SIGN_IN_CA_FILE must name a file with certificates"):
        read(CA_FILE=str(file)).ca_bundle()
