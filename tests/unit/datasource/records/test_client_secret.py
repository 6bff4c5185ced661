"""The client secret: which Secret may be used as one, and where it may be sent."""

from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from datasource.api.names import Annotation, Role, SecretType
from datasource.api.objects import Secret
from datasource.api.spec import ClientSecretRef, HeaderSecretRef, InvalidSpec, OAuth2, PrivateKeyRef
from datasource.records.client_secret import (
    REFUSED_TYPES,
    ClientSecret,
    ClientSecretNotFound,
    Ref,
    check_allowed_hosts,
    usable_client_secret,
)
from tests.unit.datasource.builders import allowed_hosts, oauth2, secret

REF = ClientSecretRef(name="my-app")


def used(stored: Secret, **changes: Any) -> str:
    return usable(stored, wanted=oauth2(**changes)).text


def usable(stored: Secret, ref: Ref = REF, wanted: OAuth2 | None = None, *, required: bool = False) -> ClientSecret:
    return usable_client_secret(stored, ref, wanted or oauth2(), {}, require_allowed_hosts=required)


def test_value_under_the_key_is_the_client_secret() -> None:
    assert used(secret({"client-secret": "s3cret", "other": "x"})) == "s3cret"


@pytest.mark.parametrize(
    "text",
    [
        "s3cret\n",
        "s3cret\r\n",
        "s3cret\n\n",
        "s3cret \n",
        "s3cret\t",
        "\ns3cret",
        "\ufeffs3cret\r\n",
        "\ufeff s3cret \n",
    ],
)
def test_line_end_that_an_editor_left_is_no_part_of_the_secret(text: str) -> None:
    assert used(secret({"client-secret": text})) == "s3cret"
    with pytest.raises(ClientSecretNotFound):
        used(secret({"client-secret": text.replace("s3cret", "")}))


def test_blanks_are_part_of_the_secret() -> None:
    assert used(secret({"client-secret": " s3 cret "})) == " s3 cret "


@pytest.mark.parametrize("text", ["s3cret\nanother", "s\x003\x00c\x00", "s3\u200bcret", "s3cret\u2028x", "s3\tcret"])
def test_secret_with_characters_that_none_has_is_told_before_anybody_consents(text: str) -> None:
    """The instance: sent as it is, and after the consent a rejected client."""
    with pytest.raises(InvalidSpec, match="key client-secret of Secret my-app, whose value has characters") as caught:
        used(secret({"client-secret": text}))
    assert "s3" not in str(caught.value)


def test_secret_that_is_not_ascii_is_taken() -> None:
    assert used(secret({"client-secret": "s3crét ß"})) == "s3crét ß"


def test_reference_may_name_another_key() -> None:
    ref = ClientSecretRef(name="my-app", key="other")
    assert usable(secret({"client-secret": "s3cret", "other": "x"}), ref, oauth2()).text == "x"


@pytest.mark.parametrize("values", [None, {"other": "x"}, {"client-secret": ""}])
def test_missing_or_empty_key_is_told_with_the_remedy(values: dict[str, str] | None) -> None:
    with pytest.raises(
        ClientSecretNotFound, match="names key client-secret, which is missing or empty in Secret my-app"
    ) as caught:
        used(secret(values))
    assert "clientSecretRef.key" in str(caught.value)


def test_value_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="names key client-secret, whose value is not text"):
        used(secret({"client-secret": b"\xff"}))


@pytest.mark.parametrize("type_", sorted(REFUSED_TYPES))
def test_secret_of_a_refused_type_is_never_sent(type_: str) -> None:
    with pytest.raises(InvalidSpec, match="whose type"):
        used(secret({"client-secret": "s3cret"}, type_=type_))


@pytest.mark.parametrize(
    "type_",
    [
        *SecretType,
        "kubernetes.io/service-account-token",
        "kubernetes.io/tls",
        "kubernetes.io/dockercfg",
        "kubernetes.io/dockerconfigjson",
        "bootstrap.kubernetes.io/token",
        "helm.sh/release.v1",
    ],
)
def test_every_type_that_the_design_refuses_is_refused(type_: str) -> None:
    assert type_ in REFUSED_TYPES


@pytest.mark.parametrize("type_", ["Opaque", "kubernetes.io/basic-auth", "example.com/client"])
def test_secret_of_another_type_may_be_used(type_: str) -> None:
    assert used(secret({"client-secret": "s3cret"}, type_=type_)) == "s3cret"


@pytest.mark.parametrize(
    ("hosts", "changes"),
    [
        pytest.param("login.example.com", {}, id="the host of the token URL"),
        pytest.param("LOGIN.example.com", {}, id="in other letters"),
        pytest.param("a.example, login.example.com", {}, id="one of several, by commas"),
        pytest.param("a.example\n login.example.com", {}, id="one of several, by white space"),
        pytest.param("login.example.com", {"tokenURL": "https://Login.Example.com:8443/t"}, id="whatever the port"),
        pytest.param(
            "login.example.com", {"revocationURL": "https://login.example.com/r"}, id="the revocation URL too"
        ),
        pytest.param("x.example", {"tokenURL": None}, id="no token URL yet"),
    ],
)
def test_bound_secret_may_be_sent_to_its_hosts(hosts: str, changes: dict[str, Any]) -> None:
    assert used(secret({"client-secret": "s3cret"}, annotations=allowed_hosts(hosts)), **changes) == "s3cret"


@pytest.mark.parametrize(
    ("hosts", "changes", "field"),
    [
        pytest.param("other.example.com", {}, "tokenURL", id="another host"),
        pytest.param("", {}, "tokenURL", id="no host at all"),
        pytest.param("example.com", {}, "tokenURL", id="the domain above"),
        pytest.param("sso.login.example.com", {}, "tokenURL", id="a host below"),
        pytest.param("*", {}, "tokenURL", id="a star, which means nothing"),
        pytest.param(
            "login.example.com", {"revocationURL": "https://evil.example/r"}, "revocationURL", id="the revocation URL"
        ),
        pytest.param(
            "login.example.com",
            {"tokenURL": "https://login.example.com.evil.example/"},
            "tokenURL",
            id="a name like it",
        ),
    ],
)
def test_bound_secret_is_sent_to_nobody_else(hosts: str, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSpec, match="may not be sent to") as caught:
        used(secret({"client-secret": "s3cret"}, annotations=allowed_hosts(hosts)), **changes)
    assert caught.value.problem.field == f"spec.oauth2.{field}"


def test_where_the_flag_says_so_a_secret_must_name_its_hosts() -> None:
    unbound = secret({"client-secret": "s3cret"})
    with pytest.raises(InvalidSpec, match="does not list the hosts that it may be sent to") as caught:
        usable(unbound, REF, oauth2(), required=True)
    assert caught.value.problem.field == "spec.oauth2.clientSecretRef"
    assert "kubectl annotate secret my-app datasource.dev/allowed-hosts=login.example.com" in str(caught.value)


def test_where_the_flag_says_so_a_secret_that_names_its_hosts_is_sent_to_them_alone() -> None:
    bound = secret({"client-secret": "s3cret"}, annotations=allowed_hosts("login.example.com"))
    assert usable(bound, REF, oauth2(), required=True).text == "s3cret"
    elsewhere = oauth2(tokenURL="https://evil.example/token")
    with pytest.raises(InvalidSpec, match="may not be sent to"):
        usable(bound, REF, elsewhere, required=True)


def test_who_forgets_to_say_whether_hosts_must_be_named_gets_no_secret() -> None:
    unbound = secret({"client-secret": "s3cret"})
    with pytest.raises(TypeError, match="require_allowed_hosts"):
        usable_client_secret(unbound, REF, oauth2(), {})  # type: ignore[call-arg]


def test_every_endpoint_that_a_secret_is_sent_to_is_checked() -> None:
    endpoints = {"tokenURL": "https://a.example/t", "pushedURL": "https://b.example/p"}
    check_allowed_hosts(secret(annotations=allowed_hosts("a.example b.example")), endpoints, required=True)
    with pytest.raises(InvalidSpec) as caught:
        check_allowed_hosts(secret(annotations=allowed_hosts("a.example")), endpoints, required=False)
    assert caught.value.problem.field == "spec.oauth2.pushedURL"


def test_nothing_that_is_told_carries_the_secret() -> None:
    for refused in (
        secret({"client-secret": "sentinel"}, type_="kubernetes.io/tls"),
        secret({"client-secret": "sentinel"}, annotations=allowed_hosts("")),
        secret({"client-secret": b"sentinel\xff"}),
    ):
        with pytest.raises(InvalidSpec) as caught:
            used(refused)
        assert "sentinel" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


# Private keys.

KEY_REF = PrivateKeyRef(name="signing")
WITH_KEY: dict[str, Any] = {"clientSecretRef": None, "privateKeyRef": {"name": "signing"}}


def private_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    text: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return text.decode()


def test_private_key_is_read_like_a_client_secret() -> None:
    text = private_key()
    stored = secret({"private-key": text}, name="signing", annotations=allowed_hosts("login.example.com"))
    found = usable(stored, KEY_REF, oauth2(**WITH_KEY))
    assert found == ClientSecret("signing", text, frozenset({"login.example.com"}))


@pytest.mark.parametrize(
    "changes",
    [{"type_": "kubernetes.io/tls"}, {"annotations": allowed_hosts("other.example.com")}],
    ids=["a refused type", "another host"],
)
def test_private_key_is_guarded_like_a_client_secret(changes: dict[str, Any]) -> None:
    stored = secret({"private-key": private_key()}, name="signing", **changes)
    with pytest.raises(InvalidSpec):
        usable(stored, KEY_REF, oauth2(**WITH_KEY))


def test_private_key_that_is_none_is_told_without_showing_it() -> None:
    with pytest.raises(InvalidSpec, match="names key private-key of Secret signing, which is neither") as caught:
        usable(secret({"private-key": "sentinel"}, name="signing"), KEY_REF, oauth2(**WITH_KEY))
    assert "sentinel" not in str(caught.value)


def test_secret_is_checked_against_endpoints_that_the_provider_tells() -> None:
    found = usable(
        secret({"client-secret": "s3cret"}, annotations=allowed_hosts("login.example.com")), REF, oauth2(tokenURL=None)
    )
    found.require_allowed({"tokenURL": "https://login.example.com/t"})
    with pytest.raises(InvalidSpec, match="may not be sent to") as caught:
        found.require_allowed({"tokenURL": "https://evil.example.com/t"})
    assert caught.value.problem.field == "spec.oauth2.tokenURL"


def test_secret_bound_to_nobody_may_be_sent_anywhere_and_does_not_print() -> None:
    found = usable(secret({"client-secret": "s3cret"}), REF, oauth2())
    found.require_allowed({"tokenURL": "https://anywhere.example.com/"})
    assert "s3cret" not in repr(found)


def test_secret_is_sent_to_no_host_of_a_preset_that_it_is_not_bound_to() -> None:
    stored = secret({"client-secret": "s3cret"}, annotations=allowed_hosts("login.example.com"))
    with pytest.raises(InvalidSpec, match="may not be sent to"):
        usable(stored, REF, oauth2(provider="google", tokenURL=None))


# Values of headers.

KEY_OF_GATEWAY = HeaderSecretRef("gateway", "api-key")


@pytest.mark.parametrize("text", ["k3y", "k3y\n", "k3y\r\n"])
def test_value_of_a_header_is_taken_without_the_line_end_that_an_editor_left(text: str) -> None:
    assert usable(secret({"api-key": text}), KEY_OF_GATEWAY).text == "k3y"


@pytest.mark.parametrize("text", ["k3y\nHost: evil", "k3y\x00", " k3y", "k\u00e9y", "k" * 5000])
def test_value_that_no_header_can_have_is_refused_without_a_word_of_it(text: str) -> None:
    with pytest.raises(InvalidSpec, match=r"spec\.oauth2\.tokenHeaders names key api-key of Secret gateway") as caught:
        usable(secret({"api-key": text}), KEY_OF_GATEWAY)
    assert "k3y" not in str(caught.value)


def test_value_of_a_header_that_is_missing_is_told_with_the_field_to_correct() -> None:
    with pytest.raises(ClientSecretNotFound, match=r"tokenHeaders\.secretRef\.key") as caught:
        usable(secret({"other": "x"}), KEY_OF_GATEWAY)
    assert "spec.oauth2.tokenHeaders names key api-key" in str(caught.value)


@pytest.mark.parametrize("role", list(Role))
def test_secret_of_ours_is_refused_whatever_its_type(role: Role) -> None:
    """A token Secret may be Opaque, and its token is not for somebody's token URL."""
    ours = secret({"api-key": "k3y"}, annotations={Annotation.ROLE: role})
    with pytest.raises(InvalidSpec, match="names Secret gateway, which is the operator's own"):
        usable(ours, KEY_OF_GATEWAY)


def test_value_of_a_header_is_held_to_the_hosts_of_its_secret_and_to_its_type() -> None:
    bound = secret({"api-key": "k3y"}, annotations=allowed_hosts("gateway.example.com"))
    with pytest.raises(InvalidSpec, match="may not be sent to"):
        usable(bound, KEY_OF_GATEWAY)
    with pytest.raises(InvalidSpec, match=r"spec\.oauth2\.tokenHeaders names Secret my-app, which does not list"):
        usable(secret({"api-key": "k3y"}), KEY_OF_GATEWAY, required=True)
    with pytest.raises(InvalidSpec, match="whose type"):
        usable(secret({"api-key": "k3y"}, type_=SecretType.TOKEN), KEY_OF_GATEWAY)
