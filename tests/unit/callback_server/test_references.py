"""A reference is short, and the same at each look at a page."""

import msgspec

from callback_server.references import new_reference, reference_of
from tests.unit.callback_server.test_flow_claims import Beginning


def test_reference_is_ten_digits() -> None:
    assert new_reference(lambda size: b"\xab" * size) == "ab" * 5


def test_authorization_has_one_for_as_long_as_its_page_stands() -> None:
    flow = Beginning()(0)
    assert reference_of(flow) == ""
    assert reference_of(msgspec.structs.replace(flow, claim="0123456789abcdef")) == "0123456789"
