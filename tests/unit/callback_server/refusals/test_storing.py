"""Words for what cannot be stored."""

from callback_server import refusals


def test_code_that_was_not_used_is_told_apart_from_tokens_that_were_dropped() -> None:
    rehearsed = refusals.write_is_refused("sales-credential", "Forbidden")
    refused = refusals.store_was_refused("sales-credential", "Forbidden")

    assert "The code was not used." in rehearsed.message
    assert "The new tokens were dropped." in refused.message
    assert "Secret sales-credential (Forbidden)" in rehearsed.message
    assert "Secret sales-credential (Forbidden)" in refused.message


def test_secret_that_is_in_the_way_is_named() -> None:
    assert "Secret sales-credential exists" in refusals.name_is_taken("sales-credential").message
