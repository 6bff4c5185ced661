"""`spec.probe`: a request below spec.url that shows whether the service takes the access token. Pure.

Whoever writes the path must not lead the token elsewhere: not to another host, and not above spec.url.
"""

import re
from datetime import timedelta
from urllib.parse import urlsplit

import msgspec

from datasource.api.durations import parse_duration
from datasource.outbound.endpoint import UrlProblem, endpoint_problem

SHORTEST = timedelta(minutes=1)
LONGEST = timedelta(days=1)
_USUAL = timedelta(minutes=10)

_CHARACTERS = r"A-Za-z0-9._~!$&'()*+,;=:@%/-"
_PATH = re.compile(rf"/[{_CHARACTERS}]*(\?[{_CHARACTERS}?]*)?")
_DISGUISED = re.compile(r"%(?![0-9A-Fa-f]{2})|%(2[EeFf]|5[Cc]|25|[01][0-9A-Fa-f]|7[Ff])")
"""What some server may decode to a dot, a slash, a backslash, a percent sign or a control character; or nothing at all."""


class Probe(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to ask for, and how often."""

    path: str = "/"
    interval: str = "10m"

    @property
    def pause(self) -> timedelta:
        """The time between two requests, never below a minute."""
        return min(max(parse_duration(self.interval) or _USUAL, SHORTEST), LONGEST)


def path_problem(path: str) -> UrlProblem | None:
    """What is wrong with a path; None where nothing is."""
    if not _PATH.fullmatch(path):
        return UrlProblem(
            "is no path", "Write it like /me or /v3/user?fields=id: printable ASCII, no # and no backslash."
        )
    if _DISGUISED.search(path):
        return UrlProblem(
            "hides a character behind a percent sign", "Write no encoded dots, slashes or control characters."
        )
    return _segment_problem(path)


def probe_problem(url: str, path: str, *, allow_insecure_http: bool) -> UrlProblem | None:
    """What is wrong with a path below a spec.url that may carry a token; None where nothing is."""
    found = path_problem(path)
    if found is not None:
        return found
    problem = endpoint_problem(url, allow_insecure_http=allow_insecure_http)
    if problem is not None:
        return UrlProblem(f"would go to spec.url, which {problem.problem}", problem.remedy)
    if "?" in url:
        return UrlProblem("cannot stand below spec.url, which has a query", "Take the query out of spec.url.")
    if _segment_problem(urlsplit(probe_url(url, path)).path) is not None:
        return UrlProblem("cannot stand below spec.url, which has .. or // in its path", "Correct spec.url.")
    return None


def probe_url(url: str, path: str) -> str:
    """Where the request goes; both were judged before."""
    return url.rstrip("/") + path


def _segment_problem(path: str) -> UrlProblem | None:
    segments = path.partition("?")[0].split("/")[1:]
    if "" in segments[:-1]:
        return UrlProblem("has two slashes in a row", "Write one.")
    # Some servers take away what follows a semicolon, and then walk up.
    if any(segment.partition(";")[0] in {".", ".."} for segment in segments):
        return UrlProblem("has . or .. in it", "Write where that leads.")
    return None
