"""What `import` makes, when it does not begin, and when it is over."""

from base64 import b64decode
from typing import Any

import pytest

from kubectl_datasource.exits import Exit
from kubectl_datasource.importing import earlier_one_is_gone, imported, manifest, not_now
from kubectl_datasource.objects import Datasource
from kubectl_datasource.waiting import Ended, Going
from tests.unit.kubectl_datasource.fake_cluster import datasource


def read(*arguments: Any, suspend: bool = False, imports: tuple[str, str] | None = None, **status: Any) -> Datasource:
    """A Datasource, with a condition Imported of that reason and message."""
    raw = datasource(*arguments, **status)
    raw["spec"]["suspend"] = suspend
    if imports is not None:
        reason, message = imports
        condition = {"type": "Imported", "status": "False", "reason": reason, "message": message}
        raw["status"]["conditions"].append(condition | {"lastTransitionTime": "2026-07-01T11:00:00Z"})
    return Datasource.read(raw)


WAITS = read("NOT AUTHORIZED", "AuthorizationRequired")


def test_secret_has_the_fixed_name_and_goes_with_its_datasource() -> None:
    made = manifest(WAITS, "rt-1")
    assert made["metadata"]["name"] == "calendar-oauth2-import"
    assert made["metadata"]["namespace"] == "shop"
    assert [owner["uid"] for owner in made["metadata"]["ownerReferences"]] == ["uid-1"]
    assert made["type"] == "datasource.dev/oauth2-import"
    assert {key: b64decode(value) for key, value in made["data"].items()} == {"refresh_token": b"rt-1"}


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (read(), "clear it first: kubectl datasource clear calendar -n shop"),
        (read("AUTHORIZED", "RefreshFailing"), "has a credential already"),
        (read("NOT CONFIGURED", "OAuth2Missing"), "OAuth2Missing: a message."),
        (read("ERROR", "ClientRejected"), "ClientRejected: a message."),
        (read("NOT AUTHORIZED", "AuthorizationRequired", suspend=True), "is suspended"),
    ],
)
def test_import_that_would_be_refused_or_only_wait_does_not_begin(there: Datasource, words: str) -> None:
    ended = not_now(there)
    assert ended is not None
    assert ended.exit is Exit.NOT_AS_WANTED
    assert words in ended.text


@pytest.mark.parametrize("reason", ["AuthorizationRequired", "CredentialCleared", "GrantRevoked", "TokenExpired"])
def test_import_may_begin_where_a_person_would_be_needed(reason: str) -> None:
    assert not_now(read("NOT AUTHORIZED", reason)) is None


@pytest.mark.parametrize(
    ("after", "exit_", "words"),
    [
        (read(authorizedAs="ada@example.com"), Exit.FINE, "is AUTHORIZED as ada@example.com, with the imported"),
        (read(), Exit.FINE, "Use it nowhere else from now on."),
        (
            read("NOT AUTHORIZED", "GrantRevoked", imports=("Refused", "It was not imported.")),
            Exit.NOT_AS_WANTED,
            "It was not imported. GrantRevoked: a message.",
        ),
        (
            read("NOT AUTHORIZED", "AuthorizationRequired", imports=("Invalid", "No key.")),
            Exit.NOT_AS_WANTED,
            "No key.",
        ),
        (read(imports=("CredentialExists", "One stands.")), Exit.NOT_AS_WANTED, "One stands."),
        (
            read("ERROR", "ClientRejected", imports=("BeingTried", "x")),
            Exit.NOT_AS_WANTED,
            "ClientRejected: a message.",
        ),
        (read("NOT AUTHORIZED", "ParametersChanged"), Exit.NOT_AS_WANTED, "ParametersChanged: a message."),
    ],
)
def test_import_is_over_once_operator_and_provider_have_decided(after: Datasource, exit_: Exit, words: str) -> None:
    ended = imported(WAITS)(after)
    assert isinstance(ended, Ended)
    assert ended.exit is exit_
    assert words in ended.text


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (WAITS, "waiting for the operator to see the import"),
        (read("NOT AUTHORIZED", "AuthorizationRequired", imports=("BeingTried", "It is tried.")), "It is tried."),
        (read("NOT AUTHORIZED", "AuthorizationRequired", imports=("Waiting", "It waits.")), "It waits."),
        (read(imports=("BeingTried", "It is tried.")), "It is tried."),
    ],
)
def test_until_then_what_is_waited_for_is_shown(after: Datasource, words: str) -> None:
    going = imported(WAITS)(after)
    assert isinstance(going, Going)
    assert words in going.text


def done(id_: str, by: str) -> dict[str, str]:
    return {"id": id_, "time": "2026-07-01T11:00:00Z", "what": "NewCredential", "by": by, "result": "Succeeded"}


@pytest.mark.parametrize(
    ("before", "after", "is_over"),
    [
        ([], [done("1", "import")], True),
        ([done("1", "import")], [done("1", "import"), done("2", "import")], True),
        ([], [done("1", "import"), done("2", "link")], True),
        ([], [done("1", "unproven")], True),
        ([], [done("1", "link")], False),
        ([], [done("1", "user import")], False),
        ([done("1", "import")], [done("1", "import")], False),
        ([done("1", "import")], [done("1", "import"), done("2", "link")], False),
    ],
)
def test_credential_of_a_person_who_was_faster_is_not_taken_for_the_imported_one(
    before: list[dict[str, str]], after: list[dict[str, str]], is_over: bool
) -> None:
    """The operator may not have seen the import yet: then it tells soon that a credential exists."""
    waits = read("NOT AUTHORIZED", "AuthorizationRequired", history=before)
    ended = imported(waits)(read(history=after))
    assert isinstance(ended, Ended) is is_over


def test_what_the_status_says_of_an_earlier_import_is_not_taken_for_this_one() -> None:
    stale = read("NOT AUTHORIZED", "GrantRevoked", imports=("Refused", "It was not imported."))
    assert isinstance(earlier_one_is_gone(stale), Going)
    assert isinstance(earlier_one_is_gone(WAITS), Ended)


def test_parameters_that_had_changed_before_say_nothing_about_the_import() -> None:
    changed = read("NOT AUTHORIZED", "ParametersChanged")
    assert isinstance(imported(changed)(changed), Going)


def test_another_datasource_of_that_name_ends_the_wait() -> None:
    raw = datasource()
    raw["metadata"]["uid"] = "uid-2"
    ended = imported(WAITS)(Datasource.read(raw))
    assert isinstance(ended, Ended)
    assert "was deleted meanwhile" in ended.text
