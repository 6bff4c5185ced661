"""Words for what cannot be stored."""

from callback_server import refusals


def test_code_that_was_not_used_is_told_apart_from_tokens_that_were_dropped() -> None:
    rehearsed = refusals.write_is_refused("sales-credential", "exceeded quota: secrets=10.")
    refused = refusals.store_was_refused("sales-credential", "exceeded quota: secrets=10.")

    assert "The code was not used." in rehearsed.message
    assert "The new tokens were dropped." in refused.message
    for each in (rehearsed, refused):
        assert "Secret sales-credential" in each.message
        assert "It says: exceeded quota: secrets=10. The" in each.message


def test_api_server_that_says_little_or_much_is_quoted_within_bounds() -> None:
    assert "It says: nothing." in refusals.write_is_refused("a", "").message
    assert len(refusals.write_is_refused("a", "x" * 9_000).message) < 2_000


def test_record_that_is_refused_is_told_with_the_words_of_the_api_server() -> None:
    refused = refusals.record_is_refused("exceeded quota: secrets=10.")

    assert "It says: exceeded quota: secrets=10. Nothing was changed." in refused.message
    assert refused.can_try_again


def test_secret_that_is_in_the_way_is_named() -> None:
    assert "Secret sales-credential already exists" in refusals.name_is_taken("sales-credential").message
