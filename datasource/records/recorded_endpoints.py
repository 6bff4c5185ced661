"""Whether the endpoints in a credential Secret are those that its Datasource means.

Tokens and the client secret go to the endpoints that were recorded with the tokens. A forged credential Secret with the right
fingerprint could send them anywhere. So the recorded endpoints are compared with those that the spec names.
"""

from urllib.parse import urlsplit

from datasource.api.spec import OAuth2


def misdirected_endpoint(
    oauth2: OAuth2,
    *,
    token_endpoint: str,
    refresh_endpoint: str | None = None,
    revocation_endpoint: str | None = None,
) -> str | None:
    """The data key of a recorded endpoint that the Datasource does not mean; None where there is none.

    The token URL is part of the fingerprint. So the recorded one must be that URL, or one of those that the callback may
    choose. The other two may be edited while a credential is stored. An earlier one stays valid if it has the origin of the
    token endpoint. An endpoint that only the provider's metadata gives is not compared. It may move, and the tokens belong to
    the endpoint that they were obtained from.

    Args:
        oauth2: as written now, with the fingerprint that is recorded.
        token_endpoint: as recorded.
        refresh_endpoint: as recorded; None where it is the token endpoint.
        revocation_endpoint: as recorded.
    """
    whole = oauth2.expanded()
    if whole.token_url and token_endpoint not in {whole.token_url, *(each.url for each in whole.token_urls)}:
        return "token_endpoint"
    others = {
        "refresh_endpoint": (refresh_endpoint, {whole.refresh_url}),
        "revocation_endpoint": (
            revocation_endpoint,
            {whole.revocation_url, *(each.revocation_url for each in whole.token_urls)},
        ),
    }
    for key, (recorded, named) in others.items():
        # Metadata alone may give a revocation endpoint, but never a refresh endpoint.
        is_known = any(named) or key == "refresh_endpoint"
        if recorded and is_known and recorded not in named and _origin(recorded) != _origin(token_endpoint):
            return key
    return None


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower()
