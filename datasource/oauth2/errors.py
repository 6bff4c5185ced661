"""What can go wrong at a provider; the class carries what to do about it.

| class                  | processed? | what next                                     |
|------------------------|------------|-----------------------------------------------|
| NotDelivered           | no         | the same request may be sent again            |
| TooManyLookups         | no         | the same request may be sent again            |
| EgressDenied           | no         | after URL or operator's flag were corrected   |
| Throttled              | no         | again, after `retry_after` (429, 503)         |
| OutcomeUnknown         | perhaps    | a refresh token may be tried once more        |
| UnexpectedStatus       | perhaps    | from 500 on; below it was refused             |
| InvalidGrant           | yes        | never again with this code or refresh token   |
| InvalidClient          | no         | after client ID or secret were corrected      |
| Unauthorized           | no         | after the client, or a new consent            |
| TemporarilyRefused     | no         | again, in a while                             |
| ProviderRefused        | no         | after whatever the provider says              |
| RedirectRefused        | no         | after the token URL was corrected             |
| MalformedTokenResponse | yes        | after provider or token URL were corrected    |

Of discovery, where nothing is at stake but to know: MetadataUnavailable is tried again later, MetadataUnusable asks for a
correction.
"""

from datetime import timedelta
from enum import StrEnum

from datasource.outbound.egress import REMEDY, Denied
from datasource.outbound.provider_request import Reply

_NOTHING_THERE = frozenset({404, 405})


class Processed(StrEnum):
    """Whether the provider may have acted on a request, so that what it carried (a code, a refresh token) may be used up."""

    NO = "no"
    PERHAPS = "perhaps"
    YES = "yes"


class OAuth2Error(Exception):
    """Base of all; the text is for people and never carries a code, a token or a secret."""

    processed = Processed.PERHAPS
    """Perhaps, until a class knows better: what may be used up is then sent with care."""
    retry_after: timedelta | None = None
    """When to come again, where whoever answered says so: with whatever status or error."""
    refresh_token: str | None = None
    """A new one that can be read in a reply with tokens (2xx), whatever else is wrong with that: it is to be stored."""


class NotDelivered(OAuth2Error):
    """The provider was not reached: the request was surely not processed."""

    processed = Processed.NO


class EgressDenied(NotDelivered):
    """The host, or the address that it leads to, is one that requests may not go to. Nothing was connected to."""

    def __init__(self, host: str, denied: Denied) -> None:
        super().__init__(f"{host} leads to {denied}. No request may go there. {REMEDY}")
        self.denied = denied


class TooManyLookups(NotDelivered):
    """The tenant has too many lookups under way. It says nothing about the host, and nothing to another tenant."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} was not looked up: other lookups of this namespace still wait for name servers that do not answer."
        )


class Throttled(OAuth2Error):
    """429 or 503: asked to come back later."""

    processed = Processed.NO

    def __init__(self, status: int, retry_after: timedelta | None, words: str = "") -> None:
        super().__init__(
            f"The provider answered {status}: it is overloaded or asks for fewer requests.{_provider_says(words)}"
        )
        self.retry_after = retry_after


class OutcomeUnknown(OAuth2Error):
    """The request was sent and no whole answer came: it may have been processed."""

    received: Reply | None = None
    """What came of one with tokens (2xx)."""


class ReplyTooLarge(OutcomeUnknown):
    """A reply came, and it costs more to read than it may: whatever it says of a request that was processed is not known."""


class ProviderRefused(OAuth2Error):
    """An OAuth error reply (RFC 6749 section 5.2), also where it comes with status 200."""

    processed = Processed.NO

    def __init__(self, error: str, description: str | None = None) -> None:
        said = f"{error}: {description}" if description else error
        super().__init__(f"The provider refused: {said}")
        self.error = error
        self.description = description


class InvalidGrant(ProviderRefused):
    """`invalid_grant`: the code or refresh token is used up, expired or revoked. Final."""

    processed = Processed.YES


class InvalidClient(ProviderRefused):
    """`invalid_client`: the provider does not accept client ID and client secret."""


class TemporarilyRefused(ProviderRefused):
    """An error of which spec.oauth2.errorRules says that it goes by."""


class Unauthorized(OAuth2Error):
    """401 without an OAuth error: of a proxy before the provider, or of one that tells so of a client, or of a dead grant."""

    processed = Processed.NO

    def __init__(self, words: str = "") -> None:
        super().__init__(f"The provider answered 401, but no OAuth error that says why.{_provider_says(words)}")


class MalformedTokenResponse(OAuth2Error):
    """A 2xx reply that is no token response (RFC 6749 section 5.1)."""

    processed = Processed.YES


class UnexpectedStatus(OAuth2Error):
    """A reply with a status that grants nothing, and no OAuth error in it that says why."""

    def __init__(self, status: int, words: str = "", *, is_page: bool = False, endpoint: str = "token URL") -> None:
        what = " with a web page" if is_page else ""
        wrong_place = f" Is this the {endpoint}?" if is_page or status in _NOTHING_THERE else ""
        super().__init__(f"The provider answered {status}{what}.{_provider_says(words)}{wrong_place}")
        self.processed = Processed.PERHAPS if status >= 500 else Processed.NO
        self.status = status


class RedirectRefused(OAuth2Error):
    """A redirect from the token endpoint: following it would carry the client secret elsewhere."""

    processed = Processed.NO

    def __init__(self, status: int, endpoint: str = "token URL") -> None:
        super().__init__(
            f"The {endpoint} answered with a redirect ({status}), which is never followed. Correct the {endpoint}."
        )
        self.status = status


def _provider_says(words: str) -> str:
    return f" The provider says: {words.rstrip('.')}." if words else ""


class MetadataUnavailable(OAuth2Error):
    """The provider's metadata cannot be read now: it is down, or in the way of too many."""

    processed = Processed.NO


class MetadataNotAskedFor(MetadataUnavailable):
    """It was not even asked for, for want of room of the tenant's own: no other tenant may be told so."""


class MetadataUnusable(OAuth2Error):
    """There is no metadata of the issuer, or what stands there cannot be believed."""

    processed = Processed.NO
