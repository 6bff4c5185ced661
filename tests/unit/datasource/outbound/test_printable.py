"""Text of strangers becomes fit for one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.outbound.printable import printable, sentence


@given(st.text(alphabet=st.characters(), max_size=400))
def test_printable_text_is_left_alone_and_everything_becomes_printable(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) <= 303
    if text.isprintable() and len(text) <= 300:
        assert shown == text


@pytest.mark.parametrize(
    ("text", "ended"),
    [("No", "No."), ("No.", "No."), ("No...", "No."), ("No? ", "No?"), ("No!", "No!"), ("No?.", "No?"), ("", ".")],
)
def test_sentence_ends_once(text: str, ended: str) -> None:
    assert sentence(text) == ended
