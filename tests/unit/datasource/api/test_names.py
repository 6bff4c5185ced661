"""Every published name: they are contracts, so they are pinned as literals here."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.names import (
    API_VERSION,
    FLOW_KEY,
    FLOW_SLOTS,
    Annotation,
    Role,
    SecretType,
    authorization_link,
    credential_secret_name,
    default_token_secret_name,
    flow_secret_name,
    redirect_uri,
    ticket_in,
    uid_digest,
)

EXTERNAL = "https://connect.example.com"
URL_SAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_api_is_the_published_one() -> None:
    assert API_VERSION == "datasource.dev/v1alpha1"


@pytest.mark.parametrize(
    ("member", "published"),
    [
        (SecretType.CREDENTIAL, "datasource.dev/oauth2-credential"),
        (SecretType.TOKEN, "datasource.dev/oauth2-token"),
        (SecretType.FLOW, "datasource.dev/oauth2-flow"),
        (Role.CREDENTIAL, "credential"),
        (Role.TOKEN, "token"),
        (Role.FLOW, "flow"),
        (Annotation.CLEAR_CREDENTIAL, "datasource.dev/clear-credential"),
        (Annotation.NEW_CREDENTIAL, "datasource.dev/new-credential"),
        (Annotation.REFRESH, "datasource.dev/refresh"),
        (Annotation.ALLOWED_HOSTS, "datasource.dev/allowed-hosts"),
    ],
)
def test_name_that_others_rely_on_is_pinned(member: str, published: str) -> None:
    assert member == published


@pytest.mark.parametrize("annotation", list(Annotation))
def test_every_annotation_is_in_our_group(annotation: Annotation) -> None:
    assert annotation.startswith("datasource.dev/")


def test_secrets_are_named_after_their_datasource() -> None:
    assert credential_secret_name("sales") == "sales-oauth2-credential"
    assert default_token_secret_name("sales") == "sales-token"


def test_flow_records_are_named_after_the_digest_of_the_uid_and_the_slot() -> None:
    digest = uid_digest("6f9619ff")
    assert digest == hashlib.sha256(b"6f9619ff").hexdigest()[:16]
    assert flow_secret_name(digest, 3) == f"datasource-flow-{digest}-3"


def test_every_slot_can_be_told_in_a_flow_key() -> None:
    for slot in range(FLOW_SLOTS):
        assert FLOW_KEY.fullmatch(f"{uid_digest('u')}-{slot}.{'x' * 43}")


@pytest.mark.parametrize("external", [EXTERNAL, EXTERNAL + "/prefix", "http://localhost:8080"])
def test_redirect_uri_carries_the_namespace(external: str) -> None:
    assert redirect_uri(external, "shop") == f"{external}/callback/shop"
    assert redirect_uri(external, "shop", "cal.endar") == f"{external}/callback/shop/cal.endar"


def test_link_carries_namespace_name_and_ticket() -> None:
    link = authorization_link(EXTERNAL, "shop", "sales", "t-1_x")
    assert link == "https://connect.example.com/authorize/shop/sales?ticket=t-1_x"


def test_nothing_in_a_link_reaches_beyond_its_place() -> None:
    assert redirect_uri(EXTERNAL, "../x?y#z") == EXTERNAL + "/callback/..%2Fx%3Fy%23z"
    assert authorization_link(EXTERNAL, "a/b", "c?d", "e&f") == EXTERNAL + "/authorize/a%2Fb/c%3Fd?ticket=e%26f"


@given(st.text(alphabet=URL_SAFE, min_size=1))
def test_ticket_is_found_in_its_link(ticket: str) -> None:
    assert ticket_in(authorization_link(EXTERNAL, "shop", "sales", ticket)) == ticket


@pytest.mark.parametrize("link", [None, "", "https://connect.example.com/", "https://connect.example.com/?ticket="])
def test_link_without_a_ticket_has_none(link: str | None) -> None:
    assert ticket_in(link) is None


def test_flow_record_is_named_after_its_datasource_and_its_slot() -> None:
    digest = uid_digest("6f9619ff-8b86-d011-b42d-00c04fc964ff")
    assert flow_secret_name(digest, 3) == f"datasource-flow-{digest}-3"
    assert flow_secret_name(uid_digest("another"), 3) != flow_secret_name(digest, 3)
