import json
import shlex
from typing import Any

import pytest

from datasource.api.presets import PRESETS
from datasource.api.states import Reason
from kubectl_datasource.advice import Advice, Case
from kubectl_datasource.objects import Datasource
from kubectl_datasource.remedies import ADVICE, advice_for, reads_client_secret
from tests.unit.kubectl_datasource.builders import LINK, OAUTH2, datasource

READY = {
    "type": "Ready",
    "status": "False",
    "reason": "AuthorizationRequired",
    "message": "Ready for authorization.",
    "lastTransitionTime": "2026-07-01T11:00:00Z",
}


def advice(reason: Reason | str | None, exists: bool | None = None, **given: Any) -> Advice:
    return advice_for(Case(datasource(reason, **given), ("--context=prod",), exists))


def words(line: str) -> list[str]:
    return shlex.split(line)


def merged_spec(line: str) -> Any:
    """The patch in a command."""
    parts = words(line)
    return json.loads(parts[parts.index("-p") + 1])["spec"]


def test_every_reason_is_explained() -> None:
    assert set(ADVICE) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_every_explanation_has_a_command_that_names_namespace_and_context(reason: Reason) -> None:
    told = advice(reason)
    assert told.what
    assert told.commands
    for command in told.commands:
        assert command.purpose
        assert command.line.count("\n") == 0
    assert any("-n shop" in command.line for command in told.commands)
    mentions_cluster = [command for command in told.commands if "deploy/overlays" not in command.line]
    assert all("--context=prod" in command.line for command in mentions_cluster)


@pytest.mark.parametrize(
    "reason",
    [
        Reason.AUTHORIZATION_REQUIRED,
        Reason.CREDENTIAL_CLEARED,
        Reason.PARAMETERS_CHANGED,
        Reason.GRANT_REVOKED,
        Reason.TOKEN_EXPIRED,
        Reason.REFRESH_INTERRUPTED,
    ],
)
def test_person_is_led_to_the_link_and_never_shown_it(reason: Reason) -> None:
    told = advice(reason, authorizationLink=LINK)
    assert words(told.commands[0].line)[:4] == ["kubectl", "datasource", "authorize", "calendar"]
    assert "ticket" not in str(told)


def test_further_credential_is_asked_for_only_where_none_is_offered() -> None:
    assert "--new" in advice(Reason.AUTHORIZED).commands[0].line
    assert "--new" not in advice(Reason.AUTHORIZED, authorizationLink=LINK).commands[0].line


def test_expired_token_without_offline_access_gets_the_scope_first() -> None:
    told = advice(Reason.TOKEN_EXPIRED, oauth2=OAUTH2 | {"scopes": ["read"]})
    assert merged_spec(told.commands[0].line) == {"oauth2": {"scopes": ["read", "offline_access"]}}
    assert "authorize" in told.commands[1].line


def test_missing_parameters_are_named_and_patched() -> None:
    told = advice(Reason.PARAMETERS_INCOMPLETE, oauth2={"clientID": "my-app"})
    assert told.where == ("spec.oauth2.authorizeURL", "spec.oauth2.tokenURL")
    assert set(merged_spec(told.commands[0].line)["oauth2"]) == {"authorizeURL", "tokenURL"}


def test_missing_parameter_of_a_preset_is_patched_as_the_message_names_it() -> None:
    oauth2 = {"clientID": "my-app", "provider": "okta"}
    told = advice(Reason.PARAMETERS_INCOMPLETE, oauth2=oauth2, message="Not set yet: spec.oauth2.issuer. An example.")
    assert told.where == ("spec.oauth2.issuer",)
    assert merged_spec(told.commands[0].line)["oauth2"] == PRESETS["okta"].asks_for


@pytest.mark.parametrize("reachable", ["False", "True", "Unknown"])
def test_provider_that_cannot_be_reached_comes_before_the_link(reachable: str) -> None:
    condition = READY | {"type": "ProviderReachable", "status": reachable}
    told = advice(Reason.AUTHORIZATION_REQUIRED, conditions=[READY, condition])
    verbs = [words(command.line)[1] for command in told.commands]
    assert verbs == (["edit", "datasource"] if reachable == "False" else ["datasource"])
    assert ("Everything is prepared" in told.what) is (reachable != "False")


def test_parameters_that_a_newer_operator_misses_are_taken_from_its_message() -> None:
    told = advice(Reason.PARAMETERS_INCOMPLETE, message="Not set yet: spec.oauth2.parURL.")
    assert told.where == ("spec.oauth2.parURL",)
    assert "edit" in told.commands[0].line


def test_redirect_uri_to_register_is_told_where_nothing_is_filled_in() -> None:
    told = advice(Reason.OAUTH2_MISSING, oauth2=None, redirectURI="https://connect.example.com/callback/shop")
    assert "https://connect.example.com/callback/shop" in told.what
    assert merged_spec(told.commands[1].line)["oauth2"]["clientSecretRef"] == {"name": "calendar-app"}


@pytest.mark.parametrize(("exists", "verbs"), [(True, ["apply"]), (False, ["create"]), (None, ["create", "apply"])])
def test_client_secret_is_created_or_completed(exists: bool | None, verbs: list[str]) -> None:
    told = advice(Reason.CLIENT_SECRET_NOT_FOUND, exists)
    assert told.where == ("spec.oauth2.clientSecretRef", "Secret my-app, key client-secret")
    assert ["apply" if "apply" in command.line else "create" for command in told.commands] == verbs
    # The secret itself is typed: an argument would stand in the shell's history.
    assert all("/dev/stdin" in command.line and "from-literal" not in command.line for command in told.commands)


def test_private_key_is_taken_from_a_file() -> None:
    told = advice(Reason.CLIENT_SECRET_NOT_FOUND, False, oauth2={"clientID": "c", "privateKeyRef": {"name": "my-key"}})
    assert told.where == ("spec.oauth2.privateKeyRef", "Secret my-key, key private-key")
    assert "--from-file=private-key=PRIVATE_KEY.pem" in told.commands[0].line
    assert "read" not in told.commands[0].line


def test_public_client_that_misses_a_secret_is_led_to_its_fields() -> None:
    assert "edit" in advice(Reason.CLIENT_SECRET_NOT_FOUND, oauth2={"clientID": "c"}).commands[0].line


def test_token_secret_goes_elsewhere_where_its_name_is_taken() -> None:
    told = advice(
        Reason.SECRET_CONFLICT,
        message="Secret calendar-token already exists and does not belong to this Datasource. The operator did not change it.",
    )
    assert told.where == ("Secret calendar-token", "spec.tokenSecret.name")
    assert merged_spec(told.commands[0].line) == {"tokenSecret": {"name": "calendar-access-token"}}


def test_credential_secret_cannot_go_elsewhere() -> None:
    told = advice(Reason.SECRET_CONFLICT, message="Secret calendar-oauth2-credential exists and is not ours.")
    assert told.where == ("Secret calendar-oauth2-credential",)
    assert [words(command.line)[1] for command in told.commands] == ["get", "delete"]


def test_immutable_secret_is_deleted_not_renamed() -> None:
    message = (
        "Secret calendar-token cannot be written: it was made immutable. Delete it: the operator creates it again."
    )
    told = advice(Reason.SECRET_CONFLICT, message=message)
    assert [words(command.line)[1] for command in told.commands] == ["get", "delete"]


def test_immutable_credential_secret_is_made_anew_not_deleted() -> None:
    message = (
        "Secret calendar-oauth2-credential cannot be written: it was made immutable. Do not delete it permanently."
    )
    told = advice(Reason.SECRET_CONFLICT, message=message)
    assert [words(command.line)[1] for command in told.commands] == ["get", "get"]
    assert "| kubectl replace --force -f -" in told.commands[1].line
    assert "Do not delete it" in told.what


def test_invalid_fields_are_those_of_the_message() -> None:
    message = "spec.tokenSecret.template.data[header] uses the unknown variable {{ tokn }}. See spec.oauth2.tokenURL."
    told = advice(Reason.INVALID_CONFIGURATION, message=message)
    assert told.where == ("spec.tokenSecret.template.data[header]", "spec.oauth2.tokenURL")


def test_public_client_that_is_rejected_has_no_secret_to_replace() -> None:
    public = {key: value for key, value in OAUTH2.items() if key != "clientSecretRef"}
    assert len(advice(Reason.CLIENT_REJECTED, oauth2=public).commands) == 1
    assert "Secret my-app, key client-secret" in advice(Reason.CLIENT_REJECTED).where


@pytest.mark.parametrize("reason", [Reason.REFRESH_FAILING, Reason.AUTHORIZATION_REQUIRED])
def test_suspension_is_taken_back_first(reason: Reason) -> None:
    told = advice(reason, spec={"suspend": True})
    assert told.where[0] == "spec.suspend"
    assert told.commands[0].line == "kubectl datasource resume calendar -n shop --context=prod"
    assert "by itself" not in told.what


def test_reason_of_a_newer_operator_is_admitted() -> None:
    told = advice("MoonPhase", message="Wait for spec.oauth2.moon.")
    assert "MoonPhase" in told.what
    assert told.where == ("spec.oauth2.moon",)


def test_datasource_that_nobody_looked_at_leads_to_the_doctor() -> None:
    assert advice(None).commands[0].line == "kubectl datasource doctor --context=prod"


def test_names_of_others_are_quoted_for_the_shell() -> None:
    told = advice(Reason.CLIENT_SECRET_NOT_FOUND, False, oauth2={"clientSecretRef": {"name": "x", "key": "a b;id"}})
    assert "'--from-file=a b;id=/dev/stdin'" in told.commands[0].line


@pytest.mark.parametrize(
    ("seen", "secret"),
    [
        (datasource(Reason.CLIENT_SECRET_NOT_FOUND), "my-app"),
        (datasource(Reason.AUTHORIZED), None),
        (datasource(Reason.CLIENT_SECRET_NOT_FOUND, oauth2=None), None),
    ],
)
def test_client_secret_is_looked_for_only_where_it_decides(seen: Datasource, secret: str | None) -> None:
    assert reads_client_secret(seen) == secret
