"""What stands in the body of a reply: its members, and a refresh token in what cannot be read as a whole. Pure."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from datasource.oauth2.strict_json import Number, leading_json_object
from datasource.oauth2.strict_json import members as in_a_form

LONGEST_TOKEN = 65_536
_MOST_ESCAPES = 20_000  # Of a form; three tokens of 64 KiB need fewer.

_IN_JSON = re.compile(r'"refresh_token"\s*:\s*("[^"\\]*(?:\\.[^"\\]*)*"|[0-9]+(?=[\s,}]))')
_IN_A_FORM = re.compile(r"(?:^|[?&])refresh_token=([^&\s\"'<>]+)(?=&|$)")
_CUT_IN_A_FORM = re.compile(r"(?:^|[?&])refresh_token=([^&\s\"'<>]+)(?=&)")
_NOT_DECODED = "\ufffd"


def error_members_of(text: str, content_type: str) -> dict[str, Any] | None:
    """The same of an error, which some servers write as a list of one object (Salesforce)."""
    return members_of(text.removeprefix("[").lstrip(), content_type)


def members_of(text: str, content_type: str) -> dict[str, Any] | None:
    """The reply's members: a JSON object or a form, whatever the content type claims (GitHub sends forms)."""
    if "x-www-form-urlencoded" in content_type.lower():
        return _form(text) or leading_json_object(text)
    return leading_json_object(text) or _form(text)


def _form(text: str) -> dict[str, Any] | None:
    if "=" not in text or text.startswith(("{", "[", "<")) or text.count("%") > _MOST_ESCAPES:
        return None
    try:
        return in_a_form(parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=100))
    except ValueError:
        return None


def refresh_token_of(value: object) -> str | None:
    """A refresh token; None for null, "", and what is none.

    It goes into the body of a request and into no header, so it may be of any characters, and a number as it is written.
    """
    text = value if not isinstance(value, Number) else value.text if value.text.isdecimal() else None
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST_TOKEN:
        return None
    return text if text.isprintable() and _NOT_DECODED not in text and text.strip(" ") else None


def readable_refresh_token(
    text: str, members: Mapping[str, Any] | None, path: Collection[str], *, is_whole: bool, sent: Collection[str]
) -> str | None:
    """The new refresh token in a reply that is refused for something else; None where there is none, or more than one.

    Args:
        text: the body.
        members: what it says, where that can be read as a whole.
        path: the members that lead to the object with the token.
        is_whole: whether its end came, too.
        sent: what we sent: a provider that says the old one again tells no new one.
    """
    found = _in_text(text, is_whole) if members is None else _in_members(members, path)
    tokens = {token for token in map(refresh_token_of, found) if token is not None and token not in sent}
    return tokens.pop() if len(tokens) == 1 else None


def _in_members(members: Mapping[str, Any], path: Collection[str]) -> Iterator[object]:
    inner: object = members
    for name in path:
        inner = inner.get(name) if isinstance(inner, Mapping) else None
    for place in (inner, members):
        if isinstance(place, Mapping) and refresh_token_of(place.get("refresh_token")) is not None:
            yield place["refresh_token"]
            return
    yield from (place.get("refresh_token") for _, place in token_objects(members))


def token_objects(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """The objects within a reply that have an access token, each with the members that lead to it."""
    if isinstance(value, list):
        for entry in value:
            yield from token_objects(entry, path)
    elif isinstance(value, Mapping):
        if path and isinstance(value.get("access_token"), str):
            yield path, value
        for name, inner in value.items():
            yield from token_objects(inner, (*path, name))


def _in_text(text: str, is_whole: bool) -> Iterator[object]:
    for match in _IN_JSON.finditer(text):
        written = match[1]
        try:
            yield json.loads(written, strict=False) if written.startswith('"') else written
        except ValueError:
            continue
    for match in (_IN_A_FORM if is_whole else _CUT_IN_A_FORM).finditer(text):
        yield unquote_plus(match[1], errors="replace")
