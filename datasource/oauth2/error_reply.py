"""What a reply that grants nothing means: by RFC 6749 section 5.2, or by what spec.oauth2 says of the provider."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

import msgspec

from datasource.oauth2.errors import (
    InvalidClient,
    InvalidGrant,
    OAuth2Error,
    OutcomeUnknown,
    ProviderRefused,
    RedirectRefused,
    TemporarilyRefused,
    Throttled,
    Unauthorized,
    UnexpectedStatus,
)
from datasource.oauth2.strict_json import Number
from datasource.outbound.redaction import said


class ErrorCode(StrEnum):
    """The errors of RFC 6749 section 5.2 that decide what comes next; some providers have names of their own for them."""

    INVALID_GRANT = "invalid_grant"
    INVALID_CLIENT = "invalid_client"


class ErrorMeaning(StrEnum):
    """What an error of a provider means to us."""

    INVALID_GRANT = "invalidGrant"
    """The code or refresh token is dead: a person has to consent again."""
    INVALID_CLIENT = "invalidClient"
    """Client ID, client secret or the way to authenticate is wrong."""
    TEMPORARY = "temporary"
    """The same request may succeed later."""


class ErrorRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """How an error of a provider is known, and what it means. All that is said must match."""

    means: ErrorMeaning
    path: str | None = None
    """Where the error stands in the reply: names with dots between them. Of a list every entry counts, or one by its number."""
    error: str | None = None
    """The error, letter by letter."""
    description: str | None = None
    """What the provider's words contain, in whatever letters."""
    status: int | None = None


NEEDS_A_PERSON = frozenset(
    {
        ErrorCode.INVALID_GRANT.value,
        "invalid_token",
        # OIDC Core section 3.1.2.6; Entra answers a refresh so, where a policy asks for the person.
        "interaction_required",
        "login_required",
        "consent_required",
        "account_selection_required",
    }
)
"""Errors that no later try with the same code or refresh token will mend."""


def raise_for_reply(
    status: int,
    members: Mapping[str, Any] | None,
    headers: Mapping[str, str],
    *,
    received_at: datetime,
    error_codes: Mapping[str, ErrorCode] = {},
    rules: Sequence[ErrorRule] = (),
    text: str = "",
    sent: Sequence[str] = (),
    endpoint: str = "token URL",
) -> None:
    """Tell by status and error whether a reply is an answer to build on.

    Args:
        status: of the reply.
        members: of its body, where that is a JSON object or a form.
        headers: names in lower case.
        received_at: an aware moment.
        error_codes: the provider's own names for errors of the standard.
        rules: how its other errors are known; the first that matches holds.
        text: its body, where that has no members.
        sent: what was sent and must not be shown.
        endpoint: what the URL that answered is called in spec.oauth2.

    Raises:
        OAuth2Error: one of its subclasses, where it is not.
    """
    challenge = _challenge(headers.get("www-authenticate", ""))
    words = words_of(members, text, sent) or said(challenge, sent).strip()
    if rules:
        everything = _compared(_everything_told(members, text) or challenge)
        rule = next((rule for rule in rules if _matches(rule, status, members or {}, everything)), None)
        if rule is not None:
            raise _meant_by(rule, status, members or {}, words, sent)
    if 300 <= status < 400:
        raise RedirectRefused(status, endpoint)
    wait = retry_after(headers.get("retry-after"), received_at)
    if status in {429, 503}:
        raise Throttled(status, wait, words)
    if status in {502, 504}:
        raise OutcomeUnknown(f"A gateway answered {status}: whether the provider acted on the request is unknown.")
    if members is not None and (error := _oauth_error(status, members, wait, error_codes, words, sent)) is not None:
        raise error
    if status == 401:
        raise Unauthorized(words)
    if not 200 <= status < 300:
        raise UnexpectedStatus(status, words, is_page=is_page(text), endpoint=endpoint)


def _oauth_error(
    status: int,
    members: Mapping[str, Any],
    wait: timedelta | None,
    error_codes: Mapping[str, ErrorCode],
    words: str,
    sent: Sequence[str],
) -> OAuth2Error | None:
    """An error reply, also with status 200 (GitHub, Slack). What it names is believed over the status."""
    error = members.get("error")
    if not isinstance(error, str) or not error:
        return None
    code = said(error.strip(), sent)
    description = members.get("error_description")
    shown = said(description, sent) if isinstance(description, str) and description else None
    # No service has two errors that differ in letters alone, and some write INVALID_GRANT.
    meant = error_codes.get(error, error.strip().lower())
    if meant in NEEDS_A_PERSON:
        return InvalidGrant(code, shown)
    if meant == ErrorCode.INVALID_CLIENT:
        return InvalidClient(code, shown)
    if meant == "temporarily_unavailable":
        return Throttled(status, wait, words)
    if status >= 500:
        return UnexpectedStatus(status, f"{code}: {shown}" if shown else code)
    return ProviderRefused(code, shown)


def _meant_by(
    rule: ErrorRule, status: int, members: Mapping[str, Any], words: str, sent: Sequence[str]
) -> ProviderRefused:
    found = next((text for text in _texts_at(members, rule.path or "error") if text), None)
    code = f"status {status}" if found is None else said(found, sent)
    kinds = {ErrorMeaning.INVALID_GRANT: InvalidGrant, ErrorMeaning.INVALID_CLIENT: InvalidClient}
    return kinds.get(rule.means, TemporarilyRefused)(code, words or None)


def _matches(rule: ErrorRule, status: int, members: Mapping[str, Any], everything: str) -> bool:
    if rule.status is not None and rule.status != status:
        return False
    stands = list(_texts_at(members, rule.path or "error"))
    if rule.error is not None and rule.error not in stands:
        return False
    if rule.path is not None and not stands:
        return False
    if rule.description is None:
        return True
    wanted = _compared(rule.description)
    return wanted != "" and wanted in everything


def _everything_told(members: Mapping[str, Any] | None, text: str) -> str:
    """All that a reply says, to compare it with and never to be shown: neither cut nor without what was sent."""
    return text if members is None else ", ".join(_told(members))


def _compared(text: str) -> str:
    """In small letters, and one space for every white space."""
    return " ".join(text.split()).casefold()


def _texts_at(members: object, path: str) -> Iterator[str]:
    """The texts that a path leads to."""
    found: list[object] = [members]
    for name in path.split("."):
        found = [inner for value in found for inner in _in(value, name)]
    for value in found:
        if isinstance(value, str | Number | bool):
            yield _text(value)


def _in(value: object, name: str) -> Iterator[object]:
    if isinstance(value, Mapping) and name in value:
        yield value[name]
    elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
        yield value[int(name)]
    elif isinstance(value, list):
        yield from (entry[name] for entry in value if isinstance(entry, Mapping) and name in entry)


def _text(value: str | Number | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.text if isinstance(value, Number) else value


# What a provider says, in its own words.

_TELLING = frozenset(
    {
        "error",
        "error_description",
        "error_subtype",
        "error_codes",
        "error_type",
        "errortype",
        "error_code",
        "errorcode",
        "error_message",
        "errormessage",
        "error_msg",
        "error_detail",
        "error_details",
        "error_hint",
        "error_reason",
        "errordescription",
        "errordetail",
        "errordetails",
        "errors",
        "errorsummary",
        "errorcauses",
        "code",
        "message",
        "msg",
        "description",
        "detail",
        "details",
        "developer_message",
        "developermessage",
        "hint",
        "title",
        "reason",
        "type",
        "resource",
        "field",
        "fault",
        "faultstring",
        "summary",
        "userinfo",
        "ok",
        "success",
    }
)
"""Names of members, in small letters, whose values say what went wrong. Others may hold tokens."""

_DEEPEST = 4
_MOST_WORDS = 12


def words_of(members: Mapping[str, Any] | None, text: str = "", sent: Sequence[str] = ()) -> str:
    """What a reply says for people, fit to be shown; empty where it says nothing, or with a web page.

    Args:
        members: of its body, where that is a JSON object or a form.
        text: its body, where it has none.
        sent: what was sent and must not be shown.
    """
    if members is None:
        return "" if is_page(text) or text.startswith(("{", "[")) else said(text, sent).strip()
    told = _told(members)
    if len(told) == 1:
        told = [told[0].partition(": ")[2]]
    return said(", ".join(told[:_MOST_WORDS]), sent).strip()


def _told(members: Mapping[str, Any]) -> list[str]:
    return [f"{name}: {_text(value)}" for name, value in _telling(members, 0) if _text(value).strip()]


def _telling(value: object, depth: int) -> Iterator[tuple[str, str | Number | bool]]:
    if depth >= _DEEPEST:
        return
    if isinstance(value, list):
        for entry in value:
            yield from _telling(entry, depth + 1)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if name.lower() not in _TELLING:
                continue
            if isinstance(inner, str | Number | bool):
                yield name, inner
            else:
                yield from ((name, entry) for entry in _plain(inner))
                yield from _telling(inner, depth + 1)


def _plain(value: object) -> Iterator[str | Number]:
    if isinstance(value, list):
        yield from (entry for entry in value if isinstance(entry, str | Number))


def _challenge(header: str) -> str:
    """What WWW-Authenticate says for people (RFC 6750 section 3). A gateway may have written it: it is shown, and decides
    nothing by itself."""
    return ": ".join(each[1] or each[2] for each in _IN_A_CHALLENGE.finditer(header))


_IN_A_CHALLENGE = re.compile(r'\berror(?:_description)?=(?:"([^"]*)"|([^",\s]+))')


def is_page(text: str) -> bool:
    """Whether a body is a web page: some services write their errors as XML of their own, and those have words."""
    beginning = text.lstrip("\ufeff \t\r\n")[:_BEGINNING].lower()
    return beginning.startswith("<") and (_OF_A_PAGE.search(beginning) is not None or ">" not in beginning)


_BEGINNING = 1000
_OF_A_PAGE = re.compile(
    r"<(?:!doctype html|!--|html|head|body|title|meta|link|script|style|h[1-6]|p|div|span|br|hr|b|a|center|table|pre)\b"
)


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Read Retry-After (RFC 9110 section 10.2.3): seconds or a date; at most a day, None where it makes no sense."""
    if value is None:
        return None
    if _DELAYS.fullmatch(value):
        # A server and the gateway before it may both have asked for a pause.
        value = max(value.split(","), key=float)
    wait = _seconds_of(value.strip(), now)
    return None if wait is None else min(max(wait, timedelta(0)), timedelta(days=1))


_DELAYS = re.compile(
    r"[ \t]*[0-9]{1,9}(?:\.[0-9]{0,9})?[ \t]*(?:,[ \t]*[0-9]{1,9}(?:\.[0-9]{0,9})?[ \t]*){0,9}", re.ASCII
)
"""Seconds; some write a fraction."""


def _seconds_of(value: str, now: datetime) -> timedelta | None:
    if _DELAYS.fullmatch(value):
        return timedelta(seconds=float(value))
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
