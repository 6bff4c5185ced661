"""What a reply to a probe says of the token: the status alone."""

import pytest

from datasource.outbound.endpoint import UrlProblem
from datasource_operator.decisions.acceptance import Remedy, of_status, unanswered, unusable

HOST = "api.example.com"


@pytest.mark.parametrize(
    ("status", "meaning", "reason"),
    [
        (200, "True", "TokenAccepted"),
        (204, "True", "TokenAccepted"),
        (302, "Unknown", "Redirected"),
        (400, "Unknown", "UnexpectedStatus"),
        (401, "False", "TokenRefused"),
        (403, "False", "Forbidden"),
        (404, "Unknown", "UnexpectedStatus"),
        (429, "Unknown", "UnexpectedStatus"),
        (503, "Unknown", "UnexpectedStatus"),
    ],
)
def test_each_status_means_something(status: int, meaning: str, reason: str) -> None:
    found = of_status(status, HOST)
    assert (found.status, found.reason) == (meaning, reason)
    assert f"{HOST} answered" in found.message
    assert str(status) in found.message


def test_what_was_done_about_a_refused_token_is_said() -> None:
    assert of_status(401, HOST, Remedy.REFRESHED).message.endswith(Remedy.REFRESHED)
    assert Remedy.REFRESHED not in of_status(200, HOST, Remedy.REFRESHED).message


def test_no_answer_and_an_odd_path_are_unknown() -> None:
    assert unanswered("It was slow.").message == "No answer came to spec.probe. It was slow."
    found = unusable(UrlProblem("has . or .. in it", "Write where that leads."))
    assert (found.status, found.reason) == ("Unknown", "InvalidProbe")
    assert found.message == "spec.probe.path has . or .. in it. Write where that leads."
