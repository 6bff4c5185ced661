"""Notifications: `doctor`'s look at whether there is a receiver, and what came of a test message. Pure."""

from collections.abc import Iterator

from kubectl_datasource.checks import Check, Verdict
from kubectl_datasource.findings import SentTest, Survey, Untold, settings_of

COMMAND = ("python", "-m", "datasource_operator.trial_notification")
"""What sends one, in the operator's pod."""

_NAME = "Notifications"
_VARIABLE = "DATASOURCE_NOTIFY_URL"


def notifications_arrive(survey: Survey) -> Iterator[Check]:
    """Nothing where there is no receiver, and no test was asked for."""
    match survey.test_message:
        case SentTest(delivered=True) as sent:
            yield Check(_NAME, Verdict.OK, f"{sent.receiver} accepted the test message {sent.id}")
        case SentTest() as failed:
            yield Check(
                _NAME,
                Verdict.FAILED,
                f"the test message was not delivered: {failed.why}",
                f"Correct {_VARIABLE}, the key, or the receiver: docs/notifications.md.",
            )
        case Untold(why=why):
            yield Check(
                _NAME,
                Verdict.UNKNOWN,
                f"no test message could be sent: {why}",
                "It is sent from the operator's pod, so it takes the right to create pods/exec there.",
            )
        case None:
            yield from _receiver(survey)


def _receiver(survey: Survey) -> Iterator[Check]:
    settings = settings_of(survey)
    if isinstance(settings, Untold) or not settings.get(_VARIABLE):
        return
    yield Check(
        _NAME, Verdict.OK, "there is a receiver; to send it a message: kubectl datasource doctor --test-notification"
    )
