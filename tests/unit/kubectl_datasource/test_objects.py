"""A Datasource is read as far as somebody is told about it, whatever else stands there."""

from typing import Any

import msgspec
import pytest

from datasource.api.names import default_token_secret_name
from datasource.api.spec import OAuth2
from kubectl_datasource.objects import Datasource, Event


def datasource(spec: Any) -> Datasource:
    return msgspec.convert({"metadata": {"name": "sales", "namespace": "apps"}, "spec": spec}, Datasource)


def test_spec_is_told_as_it_is_written() -> None:
    oauth2 = {"clientID": "my-app", "scopes": ["read"], "clientSecretRef": {"name": "sales-client"}}
    seen = datasource({"url": "https://api", "suspend": True, "oauth2": oauth2, "tokenSecret": {"name": "other"}})
    assert (seen.place, seen.url, seen.is_suspended, seen.token_secret_name) == (
        "apps/sales",
        "https://api",
        True,
        "other",
    )
    assert seen.oauth2 is not None
    assert (seen.oauth2.client_id, seen.oauth2.scopes) == ("my-app", ("read",))
    assert seen.oauth2.client_secret_ref is not None
    assert seen.oauth2.client_secret_ref.key == "client-secret"


@pytest.mark.parametrize("spec", [{}, {"oauth2": None, "tokenSecret": None, "suspend": None}, {"tokenSecret": {}}])
def test_what_is_not_written_is_told_as_nothing(spec: Any) -> None:
    seen = datasource(spec)
    assert (seen.url, seen.is_suspended, seen.oauth2, seen.token_secret_name) == (
        "",
        False,
        None,
        default_token_secret_name("sales"),
    )


def test_options_and_values_of_a_newer_cluster_are_passed_over() -> None:
    newer = {"clientID": "a", "scopes": None, "clientAuthentication": "dpop", "pkce": "S512", "dpop": {"key": 1}}
    assert datasource({"url": "x", "oauth2": newer}).oauth2 == OAuth2(client_id="a")


def test_event_was_seen_when_it_happened_last() -> None:
    first, last = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    event = msgspec.convert({"eventTime": first, "series": {"count": 2, "lastObservedTime": last}}, Event)
    assert event.seen_at is not None
    assert event.seen_at.day == 2
    assert Event().seen_at is None
