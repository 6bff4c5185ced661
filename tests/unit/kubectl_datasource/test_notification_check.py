"""What `doctor` says of notifications: whether there is a receiver, and what came of a test message."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from datasource.api.objects import Metadata
from kubectl_datasource.checks import Verdict
from kubectl_datasource.findings import SentTest, Survey, Untold
from kubectl_datasource.installation import ConfigMap
from kubectl_datasource.notification_check import notifications_arrive

WITHOUT = Survey(now=datetime(2026, 7, 1, tzinfo=UTC), system_namespace="datasource-system")
RECEIVER = {"DATASOURCE_NOTIFY_URL": "https://hooks.example.com"}
WITH = replace(WITHOUT, config_maps=(ConfigMap(Metadata(name="datasource-config-1"), RECEIVER),))


@pytest.mark.parametrize(
    ("sent", "verdict", "words"),
    [
        (SentTest(True, "hooks.example.com", "id-1"), Verdict.OK, "hooks.example.com accepted the test message id-1"),
        (SentTest(False, why="the receiver answered 401"), Verdict.FAILED, "the receiver answered 401"),
        (SentTest(False, why="DATASOURCE_NOTIFY_URL is not set"), Verdict.FAILED, "DATASOURCE_NOTIFY_URL is not set"),
        (Untold("pods is forbidden"), Verdict.UNKNOWN, "pods is forbidden"),
    ],
)
def test_what_came_of_a_test_message_is_told(sent: SentTest | Untold, verdict: Verdict, words: str) -> None:
    (check,) = notifications_arrive(replace(WITHOUT, test_message=sent))
    assert check.verdict is verdict
    assert words in check.detail
    assert bool(check.remedy) is (verdict is not Verdict.OK)


def test_receiver_that_was_not_tried_is_named_with_the_command_that_tries_it() -> None:
    (check,) = notifications_arrive(WITH)
    assert check.verdict is Verdict.OK
    assert "kubectl datasource doctor --test-notification" in check.detail


def test_nothing_is_said_where_there_is_no_receiver_or_nobody_knows() -> None:
    assert list(notifications_arrive(WITHOUT)) == []
    empty = (ConfigMap(Metadata(name="datasource-config-1"), {}),)
    assert list(notifications_arrive(replace(WITHOUT, config_maps=empty))) == []
