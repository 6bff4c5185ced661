"""The states that users read, and what each reason means: the table of the design, line by line."""

import pytest

from datasource.api.states import MEANING, Progress, Reason, State

WAITING, RECONCILING, STALLED = Progress.WAITING, Progress.RECONCILING, Progress.STALLED


def test_states_are_exactly_these_strings() -> None:
    assert {str(state) for state in State} == {"AUTHORIZED", "NOT AUTHORIZED", "NOT CONFIGURED", "ERROR"}


@pytest.mark.parametrize(
    ("reason", "state", "progress"),
    [
        ("Authorized", "AUTHORIZED", WAITING),
        ("RefreshFailing", "AUTHORIZED", RECONCILING),
        ("AuthorizationRequired", "NOT AUTHORIZED", WAITING),
        ("CredentialCleared", "NOT AUTHORIZED", WAITING),
        ("ParametersChanged", "NOT AUTHORIZED", WAITING),
        ("GrantRevoked", "NOT AUTHORIZED", WAITING),
        ("TokenExpired", "NOT AUTHORIZED", WAITING),
        ("RefreshInterrupted", "NOT AUTHORIZED", WAITING),
        ("OAuth2Missing", "NOT CONFIGURED", STALLED),
        ("ParametersIncomplete", "NOT CONFIGURED", STALLED),
        ("ClientSecretNotFound", "NOT CONFIGURED", RECONCILING),
        ("SecretConflict", "ERROR", STALLED),
        ("CredentialUnreadable", "ERROR", WAITING),
        ("ClientRejected", "ERROR", STALLED),
        ("InvalidConfiguration", "ERROR", STALLED),
        ("SecretsForbidden", "ERROR", RECONCILING),
    ],
)
def test_reason_means_what_the_design_says(reason: str, state: str, progress: Progress) -> None:
    meaning = MEANING[Reason(reason)]
    assert meaning.state == state
    assert meaning.progress is progress


def test_every_reason_means_something() -> None:
    assert MEANING.keys() == set(Reason)


def test_events_warn_of_errors_and_of_tokens_that_apps_lose_though_nobody_asked_for_it() -> None:
    lost = {"RefreshFailing", "GrantRevoked", "TokenExpired", "RefreshInterrupted", "ClientSecretNotFound"}
    errors = {reason for reason, meaning in MEANING.items() if meaning.state is State.ERROR}
    assert {reason for reason, meaning in MEANING.items() if meaning.is_warning} == lost | errors
    assert not lost & errors


@pytest.mark.parametrize("reason", list(Reason))
def test_waiting_for_a_person_is_neither_stalled_nor_reconciling(reason: Reason) -> None:
    # Argo CD shows it as Suspended and Flux waits; Stalled would fail the wave.
    if MEANING[reason].state is State.NOT_AUTHORIZED:
        assert MEANING[reason].progress is Progress.WAITING
