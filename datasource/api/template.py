"""The token Secret's template: plain text with `{{ name }}` in it, nothing more."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

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


def unknown_variables(text: str, captured: Sequence[str] = ()) -> Iterator[str]:
    """The variables that a template uses and that do not exist; `captured` names the captured fields that do."""
    known = {*VARIABLES, *(CAPTURED + name for name in captured)}
    return (name for name in map(str.strip, _PLACEHOLDER.findall(text)) if name not in known)


def uses(text: str) -> Counter[str]:
    """How often a template uses each variable."""
    return Counter(map(str.strip, _PLACEHOLDER.findall(text)))


def rendered_size(text: str, sizes: Mapping[str, int]) -> int:
    """How many bytes of UTF-8 `render` would make, told without making them; `sizes` are those of the variables.

    A variable without a size counts nothing: with none given, it is what the template's own text takes.
    """
    size = len(text.encode())
    for placeholder in _PLACEHOLDER.finditer(text):
        size += sizes.get(placeholder[1].strip(), 0) - len(placeholder[0].encode())
    return size


def render(text: str, variables: Mapping[str, str]) -> str:
    """Fill in a template in one pass: what a variable holds is never itself read as a template.

    A captured field that the provider did not send is empty.
    """
    return _PLACEHOLDER.sub(lambda match: _value(match[1].strip(), variables), text)


def _value(name: str, variables: Mapping[str, str]) -> str:
    return variables.get(name, "") if name.startswith(CAPTURED) else variables[name]
