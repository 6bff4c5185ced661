"""`providers` and `create`, from the options to the exit code: no cluster is needed to read, and none is changed unasked."""

import json

import pytest
import yaml

from datasource.api.presets import PRESETS
from datasource.api.spec_problems import parse_spec
from kubectl_datasource import provider_commands
from kubectl_datasource.kubectl import Kubectl
from tests.unit.kubectl_datasource.fake_cluster import Cluster, plugin


def test_presets_are_listed_without_a_cluster(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert provider_commands.providers(None, None) == 0
    shown = capsys.readouterr().out
    assert [name for name in PRESETS if name not in shown] == []
    assert provider_commands.providers(None, "json") == 0
    assert len(json.loads(capsys.readouterr().out)["items"]) == len(PRESETS)
    assert cluster.asked == []


@pytest.mark.parametrize("name", PRESETS)
def test_whatever_is_known_of_a_preset_can_be_shown(
    name: str, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plugin("providers", name) == 0
    assert name in capsys.readouterr().out
    assert plugin("providers", name, "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)
    assert cluster.asked == []


def test_preset_that_there_is_not_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert plugin("providers", "gogle") != 0
    assert "gogle" in capsys.readouterr().err


def test_manifest_is_printed_and_taken_by_our_own_reader(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        plugin("create", "calendar", "--provider", "google", "--url", "https://api.example.com", "--client-id", "c")
        == 0
    )
    out, err = capsys.readouterr()
    made = next(each for each in yaml.safe_load_all(out) if each["kind"] == "Datasource")
    assert parse_spec(made["spec"], allow_insecure_http=False).oauth2 is not None
    assert err, "what is left to do stands beside the manifest, not in it"
    assert cluster.asked == []


def test_kubectl_applies_what_is_asked_for(cluster: Cluster) -> None:
    assert Kubectl().run is not None
    cluster.says("apply -f -", "datasource.datasource.dev/calendar created")
    plugin(
        "create", "calendar", "--provider", "google", "--url", "https://api.example.com", "--client-id", "c", "--apply"
    )
    assert yaml.safe_load(cluster.stdin)["metadata"]["name"] == "calendar"
