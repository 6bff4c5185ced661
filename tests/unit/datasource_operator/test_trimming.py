"""What of a Datasource is kept, and that it is the same once it is unpacked."""

import msgspec
import pytest

from datasource.api.names import FIELD_MANAGER, Annotation
from datasource.api.objects import Condition, Datasource, HandledEcho, HistoryEcho, LastAuthorization, Metadata, Status
from datasource.api.states import State
from datasource_operator.trimming import PackedSpec, packed, recent, trimmed, unpacked
from tests.support.builders import NAME, NAMESPACE, OURS, datasource, raw_spec, token_secret_metadata

WHOLE = Status(
    state="AUTHORIZED",
    authorization_link="https://connect.example.com/connect",
    granted_scopes=("read", "write"),
    last_authorization=LastAuthorization("2026-07-01T12:00:00Z", "Failed", "No."),
    observed_generation=2**53,
    handled=HandledEcho(refresh="1"),
    history=(HistoryEcho("0a", "2026-07-01T12:00:00Z", "clear", "sam", "Succeeded"),),
    conditions=(
        Condition("Ready", "True", "Authorized", "All is well: \u00e9\u4e2d\U0001f511", "2026-07-01T12:00:00Z", 3),
    ),
)


@pytest.mark.parametrize(
    "whole",
    [
        datasource(),
        Datasource(Metadata("a")),
        Datasource(
            Metadata("a", deletion_timestamp="2026-07-01T12:00:00Z", annotations={"a": "b"}), {"x": [1.5]}, WHOLE
        ),
    ],
)
def test_what_is_unpacked_is_what_was_packed(whole: Datasource) -> None:
    for unpack in (unpacked, recent):
        again = unpack(packed(whole))
        assert again == whole
        assert msgspec.json.encode(again.status) == msgspec.json.encode(whole.status)


def test_names_of_fields_and_fields_at_their_defaults_take_no_memory() -> None:
    least = len(packed(Datasource(Metadata("a"))))
    assert least < 60
    assert len(packed(datasource())) < len(msgspec.json.encode(datasource()))


def test_of_a_datasource_only_what_is_read_is_kept() -> None:
    requests: dict[str, str] = {
        Annotation.CLEAR_CREDENTIAL: "1",
        Annotation.NEW_CREDENTIAL: "2",
        Annotation.REFRESH: "3",
    }
    whole = Datasource(
        metadata=Metadata(
            name=NAME,
            namespace=NAMESPACE,
            uid="u",
            resource_version="5",
            generation=3,
            deletion_timestamp="2026-07-01T12:00:00Z",
            labels={"app": "shop"},
            annotations={"kubectl.kubernetes.io/last-applied-configuration": "{...}", **requests},
            owner_references=OURS,
            managed_fields=token_secret_metadata(manager=FIELD_MANAGER).managed_fields,
        ),
        spec=raw_spec(),
        status=Status(state=State.AUTHORIZED),
    )
    kept = trimmed(whole)
    assert (kept.spec, kept.status) == (whole.spec, whole.status)
    assert kept.metadata == Metadata(
        name=NAME,
        namespace=NAMESPACE,
        uid="u",
        resource_version="5",
        generation=3,
        deletion_timestamp="2026-07-01T12:00:00Z",
        annotations=requests,
    )


def test_a_spec_kept_small_is_the_spec() -> None:
    whole = {"url": "https://api.example.com", "oauth2": {"scopes": ["read"]}}
    packed = PackedSpec(whole)
    assert packed == whole
    assert PackedSpec(packed) == whole
    assert packed.get("suspend") is None
    assert (sorted(packed), len(packed)) == (["oauth2", "url"], 2)


def test_a_long_request_takes_little_memory() -> None:
    kept = trimmed(datasource(annotations={Annotation.REFRESH: "x" * 200_000}))
    assert sum(map(len, kept.metadata.annotations.values())) < 100
