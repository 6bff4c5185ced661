"""What each class of error says about sending the same request again."""

from datetime import timedelta

import pytest

from datasource.oauth2 import (
    InvalidClient,
    InvalidGrant,
    MalformedTokenResponse,
    NotDelivered,
    OAuth2Error,
    OutcomeUnknown,
    ProviderRefused,
    RedirectRefused,
    Retry,
    Throttled,
)


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        pytest.param(NotDelivered(), Retry.LATER, id="what was not delivered is sent again"),
        pytest.param(Throttled(429, timedelta(seconds=1)), Retry.LATER, id="what was throttled is sent again later"),
        pytest.param(OutcomeUnknown(), Retry.ONCE_MORE, id="what may have been processed is tried once more"),
        pytest.param(InvalidGrant("invalid_grant"), Retry.NEVER, id="invalid_grant is final"),
        pytest.param(InvalidClient("invalid_client"), Retry.AFTER_CORRECTION, id="invalid_client keeps the credential"),
        pytest.param(ProviderRefused("x"), Retry.AFTER_CORRECTION, id="a refusal waits for a correction"),
        pytest.param(MalformedTokenResponse(), Retry.AFTER_CORRECTION, id="no token response waits for a correction"),
        pytest.param(RedirectRefused(307), Retry.AFTER_CORRECTION, id="a redirect waits for a correction"),
    ],
)
def test_class_says_what_to_do_next(error: OAuth2Error, retry: Retry) -> None:
    assert error.retry is retry
