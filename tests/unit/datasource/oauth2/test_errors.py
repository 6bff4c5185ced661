"""What each class of error says of the request: whether what it carried may be used up."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from datasource.oauth2.errors import (
    InvalidClient,
    InvalidGrant,
    MalformedTokenResponse,
    NotDelivered,
    OAuth2Error,
    OutcomeUnknown,
    Processed,
    ProviderRefused,
    RedirectRefused,
    Throttled,
    UnexpectedStatus,
)
from datasource.providers.discovery import MetadataMissing


@pytest.mark.parametrize(
    ("error", "processed"),
    [
        pytest.param(NotDelivered(), Processed.NO, id="what was not delivered"),
        pytest.param(Throttled(429, timedelta(seconds=1)), Processed.NO, id="what was throttled"),
        pytest.param(OutcomeUnknown(), Processed.PERHAPS, id="what had no whole answer"),
        pytest.param(InvalidGrant("invalid_grant"), Processed.YES, id="invalid_grant is final"),
        pytest.param(InvalidClient("invalid_client"), Processed.NO, id="invalid_client keeps the credential"),
        pytest.param(ProviderRefused("x"), Processed.NO, id="a refusal"),
        pytest.param(MalformedTokenResponse(), Processed.YES, id="a 2xx that is no token response"),
        pytest.param(RedirectRefused(307), Processed.NO, id="a redirect"),
        pytest.param(MetadataMissing(), Processed.NO, id="metadata that there is not"),
        pytest.param(UnexpectedStatus(404), Processed.NO, id="a status below 500"),
        pytest.param(UnexpectedStatus(500), Processed.PERHAPS, id="a fault of the provider"),
    ],
)
def test_class_says_whether_the_request_may_have_spent_something(error: OAuth2Error, processed: Processed) -> None:
    assert error.processed is processed


def test_what_no_class_knows_may_have_spent_something() -> None:
    """A new class that forgets to say so costs a pause, and not a grant."""
    assert OAuth2Error().processed is Processed.PERHAPS


def every_class(base: type[OAuth2Error] = OAuth2Error) -> Iterator[type[OAuth2Error]]:
    yield base
    for each in base.__subclasses__():
        yield from every_class(each)


def test_only_what_was_surely_not_acted_on_says_no() -> None:
    said = {
        each.__name__
        for each in every_class()
        if each.processed is Processed.NO and each.__module__.startswith("datasource")
    }
    assert said == {
        "EgressDenied",
        "InvalidClient",
        "MetadataMissing",
        "MetadataNotAskedFor",
        "MetadataUnavailable",
        "MetadataUnusable",
        "NotDelivered",
        "ProviderRefused",
        "RedirectRefused",
        "TemporarilyRefused",
        "Throttled",
        "TooManyLookups",
        "Unauthorized",
    }
