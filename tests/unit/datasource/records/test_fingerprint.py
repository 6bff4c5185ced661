"""What a credential is bound to. The golden values stand in stored Secrets: they never change."""

from typing import Any

import msgspec
import pytest

from datasource.api.spec import OAuth2
from datasource.records.fingerprint import fingerprint, parameters_hash
from tests.unit.datasource.builders import raw_spec


def oauth2(**changes: Any) -> OAuth2:
    """As written, whether or not it can be used: hashes are taken of what stands there."""
    return msgspec.convert(raw_spec(**changes)["oauth2"], OAuth2)


FULL: dict[str, Any] = {
    "clientSecretRef": {"name": "my-app", "key": "secret"},
    "issuer": "https://login.example.com",
    "provider": "example",
    "revocationURL": "https://login.example.com/revoke",
    "scopes": ["read", "offline_access"],
    "clientAuthentication": "client_secret_post",
    "pkce": "none",
    "authorizeParameters": {"prompt": "consent", "access_type": "offline"},
}


def test_fingerprint_is_pinned() -> None:
    # SHA-256 of {"authorizeURL":"...","clientID":"...","issuer":null,"provider":null,"tokenURL":"..."}, worked out by hand.
    assert fingerprint(oauth2(**FULL)) == "b74ea7cacc71c5702c3caf33792c77e7c92cd42092ec5041188dd809ade2c99c"
    assert fingerprint(oauth2()) == "9a0e293f076e692f6bf3bd45f02fb35980a196bcec48c7ceb449fb77794d3df0"
    assert fingerprint(OAuth2()) == "aa16c8de15d1a278106d56a63b8a2452ce52cebaec4aba9813a8c48b4d3bf211"


def test_hash_of_the_parameters_is_pinned() -> None:
    # SHA-256 of the fields that are not at their defaults, in the order of the schema, worked out by hand.
    assert parameters_hash(oauth2(**FULL)) == "b1d68020855e8c32d9caac6d0f16f1ef30745914fe89252d3db28246f1a28f6f"
    assert (
        parameters_hash(oauth2(clientSecretRef=None))
        == "f7d71e1270995e24b85bc4920efffd073f8de1a3e7b18372cbf2de70f442e0e0"
    )
    assert parameters_hash(OAuth2()) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@pytest.mark.parametrize(
    "change",
    [
        {"clientID": "other-app"},
        {"issuer": "https://other.example.com"},
        {"provider": "other"},
        {"authorizeURL": "https://other.example.com/authorize"},
        {"tokenURL": "https://other.example.com/token"},
        {"tokenURL": "https://login.example.com/token/"},
        {"tokenURL": "https://LOGIN.example.com/token"},
    ],
)
def test_what_decides_where_tokens_go_changes_the_fingerprint(change: dict[str, Any]) -> None:
    assert fingerprint(oauth2(**(FULL | change))) != fingerprint(oauth2(**FULL))


@pytest.mark.parametrize(
    "change",
    [
        {"scopes": ["read"]},
        {"clientSecretRef": {"name": "rotated", "key": "secret"}},
        {"revocationURL": "https://login.example.com/revoke2"},
        {"clientAuthentication": "client_secret_basic"},
        {"pkce": "S256"},
        {"authorizeParameters": {}},
    ],
)
def test_what_does_not_keeps_the_credential_and_still_ends_links(change: dict[str, Any]) -> None:
    assert fingerprint(oauth2(**(FULL | change))) == fingerprint(oauth2(**FULL))
    assert parameters_hash(oauth2(**(FULL | change))) != parameters_hash(oauth2(**FULL))


def test_order_of_parameters_means_nothing_and_order_of_scopes_does() -> None:
    turned = FULL | {"authorizeParameters": {"access_type": "offline", "prompt": "consent"}}
    assert parameters_hash(oauth2(**turned)) == parameters_hash(oauth2(**FULL))
    assert parameters_hash(oauth2(scopes=["a", "b"])) != parameters_hash(oauth2(scopes=["b", "a"]))


@pytest.mark.parametrize(
    "default",
    [
        pytest.param({"scopes": []}, id="no scopes"),
        pytest.param({"pkce": "S256"}, id="pkce"),
        pytest.param({"authorizeParameters": {}}, id="no extra parameters"),
        pytest.param({"clientSecretRef": {"name": "my-app"}}, id="the key of the client secret"),
    ],
)
def test_default_written_out_hashes_like_one_left_out(default: dict[str, Any]) -> None:
    assert parameters_hash(oauth2(**default)) == parameters_hash(oauth2())
