"""Words for whoever authorized and is not who is expected."""

from callback_server import refusals


def test_who_is_expected_is_told_and_who_came_is_not() -> None:
    refused = refusals.somebody_else_authorized({"email": "ann@example.com", "sub": "7"})

    assert "authorize the Datasource: email ann@example.com, sub 7." in refused.message


def test_what_could_not_be_verified_is_told_with_what_to_check() -> None:
    refused = refusals.identity_cannot_be_verified("https://login.example.com does not answer.")

    assert refused.message.startswith("https://login.example.com does not answer. The code was not used")
    assert "check spec.oauth2.issuer" in refused.message
