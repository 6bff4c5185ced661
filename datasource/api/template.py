"""The token Secret's template: plain text with `{{ name }}` in it, perhaps with filters: `{{ name | json }}`. Nothing more."""

import json
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from urllib.parse import quote

from datasource.outbound.printable import printable

VARIABLES = ("access_token", "token_type", "expires_at", "scopes", "url", "name", "namespace")
"""What a template may use; `expires_at` is RFC 3339 in UTC, empty where the provider told no lifetime."""

DEFAULT_DATA: Mapping[str, str] = {
    "access_token": "{{ access_token }}",
    "token_type": "{{ token_type }}",
    "expires_at": "{{ expires_at }}",
}
"""The keys of a token Secret whose template names none."""

# White space is stripped in code: within the pattern it would backtrack cubically, minutes for 8 KiB of spaces.
_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")


CAPTURED = "captured."
"""What stands before the name of a captured field: `{{ captured.instance_url }}`."""

MOST_FILTERS = 2
"""How many filters a placeholder may have: each makes its text longer."""


def _b64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _urlencode(text: str) -> str:
    return quote(text, safe="")


FILTERS: Mapping[str, Callable[[str], str]] = {"b64": _b64, "json": _json, "urlencode": _urlencode}
"""base64; a JSON string with its quotes; percent-encoding of all but letters, digits, - . _ and ~ (RFC 3986 section 2.3)."""

BASIC_AS = "basic_as:"
"""With a user name behind it: what stands after `Authorization: Basic` for that user, with the value as the password."""

_FILTER_NAMES = (*FILTERS, f"{BASIC_AS}USER")

_LIKE = 0.65
"""How much of two names is the same, at least, where one was meant for the other."""

# RFC 7617 section 2: a user name has no colon and no control character. White space would be a slip of whoever wrote it.
_BASIC_USER = re.compile(r"[^\s:|{}\x00-\x1f\x7f-\x9f]{1,128}")


def unknown_variables(text: str, captured: Sequence[str] = ()) -> Iterator[str]:
    """The variables that a template uses and that do not exist, each once; `captured` names the captured fields that do."""
    known = variables(captured)
    return (name for name in dict.fromkeys(map(variable_of, _placeholders(text))) if name not in known)


def variables(captured: Sequence[str]) -> dict[str, None]:
    """What a template may use, where those fields are captured."""
    return dict.fromkeys((*VARIABLES, *(CAPTURED + name for name in captured)))


def perhaps(name: str, known: Iterable[str]) -> str | None:
    """The known name that a wrong one is most like, if it is like any; only the beginning of a long one is looked at."""
    folded = {each.lower(): each for each in known}
    like = get_close_matches(name[:LONGEST_SHOWN].lower(), folded, n=1, cutoff=_LIKE)
    return folded[like[0]] if like else None


def filter_problems(text: str) -> Iterator[str]:
    """What is wrong with the filters of a template: the rest of a sentence that begins with the field."""
    for placeholder in dict.fromkeys(_placeholders(text)):
        filters = _filters_of(placeholder)
        if len(filters) > MOST_FILTERS:
            yield f"has more than {MOST_FILTERS} filters in {_braced(placeholder)}"
        yield from (
            f"uses the unknown filter {shown(name)} in {_braced(placeholder)}{_meant(perhaps(name, _FILTER_NAMES))}"
            for name in filters
            if name not in FILTERS and not _is_basic(name)
        )


def uses(text: str) -> Counter[str]:
    """How often a template uses each placeholder."""
    return Counter(_placeholders(text))


def variable_of(placeholder: str) -> str:
    """The variable of a placeholder, without its filters."""
    return placeholder.partition("|")[0].strip()


def rendered_size(text: str, sizes: Mapping[str, int]) -> int:
    """How many bytes of UTF-8 `render` would make, told without making them; `sizes` are those of the placeholders.

    A placeholder without a size counts nothing: with none given, it is what the template's own text takes.
    """
    size = len(text.encode())
    for found in _PLACEHOLDER.finditer(text):
        size += sizes.get(_normal(found[1]), 0) - len(found[0].encode())
    return size


def least_sizes(texts: Iterable[str], variables: Mapping[str, str]) -> dict[str, int]:
    """The least that each placeholder can come to, in bytes, without rendering one; exact where it has no filter.

    A filter makes nothing shorter.
    """
    sizes = {name: len(value.encode()) for name, value in variables.items()}
    return {each: sizes.get(variable_of(each), 0) for text in texts for each in _placeholders(text)}


def values(texts: Iterable[str], variables: Mapping[str, str]) -> dict[str, str]:
    """What each placeholder of some templates comes to; each is worked out once, however often it stands there.

    A captured field that the provider did not send is empty.
    """
    placeholders = dict.fromkeys(each for text in texts for each in _placeholders(text))
    return {each: _value(each, variables) for each in placeholders}


def render(text: str, filled: Mapping[str, str]) -> str:
    """Fill in a template in one pass: what a placeholder comes to is never itself read as a template."""
    return _PLACEHOLDER.sub(lambda match: filled[_normal(match[1])], text)


LONGEST_SHOWN = 253


def shown(name: str) -> str:
    """A piece of a template as messages show it: it may be as long as the template, and move a terminal's cursor."""
    return printable(name, LONGEST_SHOWN)


def _braced(placeholder: str) -> str:
    return f"{{{{ {shown(placeholder)} }}}}"


def _meant(name: str | None) -> str:
    return "" if name is None else f" (perhaps {name} is meant)"


def variable_problem(variable: str, captured: Sequence[str]) -> str:
    """What is wrong with a variable that does not exist: the rest of a sentence that begins with the field."""
    like = perhaps(variable, variables(captured))
    return f"uses the unknown variable {_braced(variable)}{_meant(None if like is None else _braced(like))}"


def _placeholders(text: str) -> Iterator[str]:
    return map(_normal, _PLACEHOLDER.findall(text))


def _normal(within: str) -> str:
    """What stands between the braces, in one spelling."""
    return " | ".join(part.strip() for part in within.split("|"))


def _filters_of(placeholder: str) -> list[str]:
    return placeholder.split(" | ")[1:]


def _is_basic(name: str) -> bool:
    return name.startswith(BASIC_AS) and _BASIC_USER.fullmatch(name.removeprefix(BASIC_AS)) is not None


def _value(placeholder: str, variables: Mapping[str, str]) -> str:
    name = variable_of(placeholder)
    value = variables.get(name, "") if name.startswith(CAPTURED) else variables[name]
    for each in _filters_of(placeholder):
        value = _b64(f"{each.removeprefix(BASIC_AS)}:{value}") if _is_basic(each) else FILTERS[each](value)
    return value
