"""`spec.oauth2.tokenURLs`: token endpoints of which the callback may choose one. Pure.

A service with data centres says in the callback where the account is kept. A browser brings that, so it is never an address:
it is compared, letter by letter, with what was written, and nothing but what was written is ever called.
"""

from collections.abc import Iterable, Mapping

import msgspec

from datasource.api.spelling import spelled

MOST_TOKEN_URLS = 16


class TokenEndpoint(msgspec.Struct, frozen=True, omit_defaults=True, rename=spelled):
    """One token endpoint, and which parameter of the callback chooses it."""

    parameter: str
    value: str
    url: str
    revocation_url: str | None = None
    """Where its tokens are revoked; None: where all are."""

    @property
    def endpoints(self) -> dict[str, str]:
        """Where requests go if this one is chosen, by field of an entry."""
        return {"url": self.url} | ({"revocationURL": self.revocation_url} if self.revocation_url else {})


def chosen_endpoint(choices: Iterable[TokenEndpoint], told: Mapping[str, str]) -> TokenEndpoint | None:
    """The first entry whose parameter has its very value; None: nothing is chosen, and tokenURL holds.

    Args:
        choices: as written, or as the preset has them.
        told: the parameters of the callback; one that stands there twice is not among them.
    """
    return next((each for each in choices if told.get(each.parameter) == each.value), None)


def listed_endpoints(choices: Iterable[TokenEndpoint]) -> dict[str, str]:
    """All URLs of a list, by field of spec.oauth2."""
    return {
        f"tokenURLs[{index}].{field}": url
        for index, each in enumerate(choices)
        for field, url in each.endpoints.items()
    }
