"""What stands in the body of a reply."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datasource.oauth2.reply_members import members_of, readable_refresh_token, refresh_token_of
from datasource.oauth2.strict_json import Number


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ('{"a": "1"} and more', {"a": "1"}),
        ("a=1&b=", {"a": "1", "b": ""}),
        ("a=%ff", {"a": "\ufffd"}),
        ("<a b=c>", None),
        ("[a=1]", None),
        ("words", None),
        ("a=1&" * 101, None),
        ("a=" + "%41" * 20_001, None),
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "Application/X-WWW-Form-Urlencoded", ""])
def test_members_are_read_whatever_the_content_type_claims(
    text: str, members: dict[str, str] | None, content_type: str
) -> None:
    assert members_of(text, content_type) == members


@pytest.mark.parametrize("value", [None, "", " ", True, [], {}, "a" * 65_537, "a\n", Number("1e3"), Number("-1")])
def test_what_is_no_refresh_token_is_none(value: object) -> None:
    assert refresh_token_of(value) is None


def test_number_is_a_refresh_token_as_it_is_written() -> None:
    assert refresh_token_of(Number("007")) == "007"


_tokens = st.from_regex(r"[!-~]{1,40}", fullmatch=True)


@given(token=_tokens, before=st.text(max_size=20), cut=st.integers(0, 5), after=st.text(max_size=20))
@example(token='"', before="", cut=0, after="")
def test_refresh_token_is_found_in_what_is_no_json(token: str, before: str, cut: int, after: str) -> None:
    before, after = before.replace('"', ""), after.replace('"', "")
    text = before + '{"x": ' * cut + f'"refresh_token" : {json.dumps(token)},' + after
    assert readable_refresh_token(text, None, (), is_whole=False, sent=()) == token
    assert readable_refresh_token(text, None, (), is_whole=True, sent=[token]) is None
