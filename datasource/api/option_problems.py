"""Pure: what is wrong with options of spec.oauth2 that are lists: headers of requests, token URLs to choose from."""

from collections.abc import Iterator

from datasource.api.names import CREDENTIAL_SUFFIX
from datasource.api.spec import OAuth2, SpecProblem
from datasource.api.token_endpoints import MOST_TOKEN_URLS
from datasource.oauth2.extra_headers import MOST_HEADERS, name_problem, value_problem
from datasource.outbound.printable import printable

PROTOCOL_PARAMETERS = frozenset({"code", "state", "iss", "error", "error_description", "id_token", "access_token"})
"""Parameters of the callback that are the protocol's own."""


def header_problems(oauth2: OAuth2) -> Iterator[SpecProblem]:
    """What keeps `tokenHeaders` from being sent."""
    field, names = "spec.oauth2.tokenHeaders", [header.name.lower() for header in oauth2.token_headers]
    if len(names) > MOST_HEADERS:
        yield SpecProblem(field, f"has more than {MOST_HEADERS} entries", "Take some out.")
    for header in oauth2.token_headers:
        problem = name_problem(header.name)
        if problem is not None:
            yield SpecProblem(field, f"names {printable(header.name)}, which {problem}", "Take that entry out.")
        if names.count(header.name.lower()) > 1:
            yield SpecProblem(field, f"names {printable(header.name)} twice", "Leave one of the two out.")
        if (header.value is None) is (header.secret_ref is None):
            yield SpecProblem(
                field, f"needs either value or secretRef for {printable(header.name)}", "Set one of them."
            )
        wrong = None if header.value is None else value_problem(header.value)
        if wrong is not None:
            yield SpecProblem(field, f"has a value of {printable(header.name)} that {wrong}", "Correct it.")
        if header.secret_ref is not None and header.secret_ref.name.endswith(CREDENTIAL_SUFFIX):
            yield SpecProblem(field, "names a credential Secret", "Name the Secret that holds the value of the header.")


def token_url_problems(whole: OAuth2) -> Iterator[SpecProblem]:
    """What keeps `tokenURLs` from being chosen from; their URLs are judged as all endpoints are."""
    field = "spec.oauth2.tokenURLs"
    if len(whole.token_urls) > MOST_TOKEN_URLS:
        yield SpecProblem(field, f"has more than {MOST_TOKEN_URLS} entries", "Take some out.")
    if whole.token_urls and whole.refresh_url:
        yield SpecProblem(
            field,
            "is set as well as refreshURL, and tokens are refreshed where they come from",
            "Set one of the two, not both.",
        )
    for each in whole.token_urls:
        if each.parameter in PROTOCOL_PARAMETERS:
            yield SpecProblem(
                field, f"names the parameter {each.parameter}", "Name one that says where the account is kept."
            )
