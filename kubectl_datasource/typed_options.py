"""The options of `create` as they were typed: whether the API server will take what they say. Pure.

It would complain later, of a field, and of a whole manifest at once; whoever typed an option is told of that option.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from datasource.api.names import CREDENTIAL_SUFFIX
from datasource.oauth2.reserved_parameters import reserved_parameter_in
from datasource.outbound.endpoint import endpoint_problem
from kubectl_datasource.exits import Misused

LONGEST_NAME = 200
LONGEST_CLIENT_ID = 1024
LONGEST_SCOPE = 256
MOST_SCOPES = 100
LONGEST_URL = 2048

_CLIENT_ID = re.compile("[ -~]+")
_SCOPE = re.compile(r"[!#-\[\]-~]+")

_EMPTY = "Perhaps a variable of the shell is not set."


def look_at_names(name: str, client_secret: str | None) -> None:
    """Names of the Datasource, and of the Secret with the client secret.

    Raises:
        Misused: the API server would not take them.
    """
    if len(name) > LONGEST_NAME:
        raise Misused(
            "NAME is too long.", f"Use at most {LONGEST_NAME} characters, so that the names of its Secrets fit."
        )
    if name.endswith(CREDENTIAL_SUFFIX):
        raise Misused(f"NAME ends in {CREDENTIAL_SUFFIX}, as the operator's own Secrets do.", "Choose another name.")
    if client_secret is not None and client_secret.endswith(CREDENTIAL_SUFFIX):
        raise Misused(
            "--client-secret-name names a Secret that keeps tokens.", "Name the one that holds the client secret."
        )
    if client_secret == f"{name}-token":
        raise Misused(
            "--client-secret-name is also the name of the Secret that apps get.", "Give the client Secret another name."
        )


def look_at_client_id(text: str) -> None:
    """The client ID.

    Raises:
        Misused: it cannot be one.
    """
    remedy = "Copy it once more from the provider, or leave --client-id out until the application is registered."
    if not text.strip():
        raise Misused(f"--client-id is empty. {_EMPTY}", remedy)
    if text != text.strip():
        raise Misused("--client-id begins or ends with a space or a new line.", remedy)
    if not _CLIENT_ID.fullmatch(text):
        raise Misused("--client-id has a character that no client ID has: only printable ASCII is in one.", remedy)
    if len(text) > LONGEST_CLIENT_ID:
        raise Misused(f"--client-id is longer than {LONGEST_CLIENT_ID} characters.", remedy)


def look_at_scopes(scopes: Sequence[str]) -> None:
    """The scopes, each from an option of its own.

    Raises:
        Misused: one cannot be a scope, or they are too many.
    """
    for scope in scopes:
        if not scope.strip():
            raise Misused(f"--scope is empty. {_EMPTY}", "Give a scope, or leave this --scope out.")
        if words := scope.split()[1:]:
            raise Misused(f"--scope has {len(words) + 1} scopes in it.", f"Repeat the option for each: {_each(scope)}")
        if not _SCOPE.fullmatch(scope):
            raise Misused(
                f"--scope {scope} has a character that no scope has.",
                "A scope is printable ASCII without spaces, quotation marks and backslashes.",
            )
        if len(scope) > LONGEST_SCOPE:
            raise Misused(f"--scope is longer than {LONGEST_SCOPE} characters.", "Repeat --scope for each scope.")
    twice = [scope for scope, times in Counter(scopes).items() if times > 1]
    if twice:
        raise Misused(f"--scope {twice[0]} is there twice.", "Leave one of the two out.")
    if len(scopes) > MOST_SCOPES:
        raise Misused(f"There are more than {MOST_SCOPES} scopes.", "Leave out what the application does not need.")


def _each(scope: str) -> str:
    return " ".join(f"--scope {word}" for word in scope.split())


def look_at_urls(urls: Mapping[str, str]) -> None:
    """URLs by their options.

    Raises:
        Misused: one is no URL that a request may go to.
    """
    for option, url in urls.items():
        if not url.strip():
            raise Misused(f"{option} is empty. {_EMPTY}", f"Give the URL, or leave {option} out.")
        # Whether plain http will do is for the installation to say.
        found = endpoint_problem(url, allow_insecure_http=True)
        if found is not None:
            raise Misused(f"{option} {found.problem}.", found.remedy)
        if len(url) > LONGEST_URL:
            raise Misused(f"{option} is longer than {LONGEST_URL} characters.", "Take its query out, or part of it.")
        if option == "--issuer" and "?" in url:
            raise Misused("--issuer has a query.", "Take the ? and what follows out of it (RFC 8414 section 2).")


def look_at_query(option: str, url: str, field: str) -> None:
    """The query of an endpoint, which is written into that field of spec.oauth2.

    Raises:
        Misused: it sets what the flow sets itself, or what proxies must not log.
    """
    name = reserved_parameter_in(url, field)
    if name is not None:
        raise Misused(f"{option} sets {name} in its query.", "Leave that out: the flow sets it itself.")
