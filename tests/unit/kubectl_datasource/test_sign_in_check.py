"""An installation where people are to sign in, and what it lacks for that."""

from dataclasses import replace

import pytest

from kubectl_datasource.checks import Check, Verdict
from kubectl_datasource.doctor import examine
from kubectl_datasource.findings import Untold
from kubectl_datasource.sign_in_check import people_can_sign_in, signs_in
from tests.unit.kubectl_datasource.installed import SOUND, URL, config, deployment

WHOLE = {
    "EXTERNAL_URL": URL,
    "SIGN_IN_ISSUER": "https://id.example.com",
    "SIGN_IN_CLIENT_ID": "datasource",
    "SIGN_IN_SECRET_FILE": "/var/run/datasource-sign-in/client-secret",
}
MOUNTED = (deployment("operator"), deployment("callback-server", mounts=("sign-in",)))


def checks(**changes: str) -> list[Check]:
    survey = replace(SOUND, config_maps=config(**(WHOLE | changes)), deployments=MOUNTED)
    return list(people_can_sign_in(survey))


def test_redirect_uri_to_register_is_told_where_all_is_in_order() -> None:
    (check,) = checks()
    assert check.verdict is Verdict.OK
    assert f"{URL}/signed-in" in check.detail
    assert "https://id.example.com" in check.detail


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"SIGN_IN_CLIENT_ID": " "}, "DATASOURCE_SIGN_IN_CLIENT_ID must be set"),
        ({"SIGN_IN_ISSUER": ""}, "DATASOURCE_SIGN_IN_ISSUER must be set"),
        ({"SIGN_IN_SECRET_FILE": "", "SIGN_IN_CLIENT_ID": ""}, "CLIENT_ID and DATASOURCE_SIGN_IN_SECRET_FILE"),
        ({"SIGN_IN_ISSUER": "http://id.example.com"}, "is not https"),
    ],
)
def test_what_is_missing_is_named_with_the_remedy(changes: dict[str, str], told: str) -> None:
    (check,) = checks(**changes)
    assert check.verdict is Verdict.FAILED
    assert told in check.detail
    assert "docs/sign-in.md" in check.remedy


def test_http_is_fine_where_the_installation_says_so() -> None:
    (check,) = checks(SIGN_IN_ISSUER="http://127.0.0.1:4455", ALLOW_INSECURE_HTTP="true")
    assert check.verdict is Verdict.OK


def test_callback_server_without_the_client_secret_is_named() -> None:
    (check,) = people_can_sign_in(replace(SOUND, config_maps=config(**WHOLE)))
    assert check.verdict is Verdict.FAILED
    assert "datasource-callback-server has no volume sign-in" in check.detail


def test_nothing_is_said_where_nobody_signs_in_or_nothing_can_be_seen() -> None:
    assert not signs_in({"DATASOURCE_SIGN_IN_ISSUER": " ", "DATASOURCE_EXTERNAL_URL": URL})
    assert list(people_can_sign_in(SOUND)) == []
    unseen = replace(SOUND, config_maps=Untold("forbidden"))
    assert list(people_can_sign_in(unseen)) == []
    (check,) = people_can_sign_in(replace(SOUND, config_maps=config(**WHOLE), deployments=Untold("forbidden")))
    assert check.verdict is Verdict.OK


def test_doctor_has_the_line_only_where_people_sign_in() -> None:
    assert "Sign-in" not in [each.name for each in examine(SOUND)]
    whole = replace(SOUND, config_maps=config(**WHOLE), deployments=MOUNTED)
    assert "Sign-in" in [each.name for each in examine(whole)]
