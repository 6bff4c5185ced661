"""The credential Secret: facts in annotations, tokens in data, both written in one request."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.names import Annotation, Role
from datasource.api.objects import Metadata, OwnerReference, Secret
from datasource.api.requests import HandledSet
from datasource.api.states import Reason
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.records.contents import StoredCredential, contents_in
from datasource.records.credential import (
    LARGEST_CAPTURED,
    CredentialFacts,
    UnreadableCredential,
    is_ours,
    read_data,
    read_facts,
)
from datasource.records.credential_patches import (
    adoption_patch,
)
from datasource.records.intent import Intent
from tests.unit.datasource.builders import NOW, UID, credential_data, facts, metadata, secret
from tests.unit.datasource.records.credential_secrets import (
    OWNER,
    created,
    merged,
    replaced,
    stored,
    stored_secret,
)

LEAST_ANNOTATIONS: dict[str, str] = {Annotation.CREDENTIAL_ID: "cred-1", Annotation.FINGERPRINT: "fp-1"}


def annotated(**annotations: str) -> Metadata:
    """Metadata with the least annotations and some more, named by the members of Annotation."""
    return metadata(annotations=LEAST_ANNOTATIONS | {Annotation[name]: text for name, text in annotations.items()})


def read_credential(metadata_: Metadata) -> CredentialFacts:
    """The facts of what is surely a credential."""
    read = read_facts(metadata_.annotations)
    assert isinstance(read, CredentialFacts)
    return read


# Writing and reading.


def test_what_was_written_is_read_back() -> None:
    secret_ = stored(created(facts(), credential_data()))
    read = contents_in(secret_.metadata)
    assert isinstance(read, StoredCredential)
    assert read.facts == facts()
    assert read.owners == (OwnerReference(uid=UID, kind="Datasource"),)
    assert read_data(secret_) == credential_data()


def test_tokens_do_not_print() -> None:
    shown = repr(credential_data(access_token="sentinel", refresh_token="sentinel"))
    assert shown == "CredentialData(token_endpoint='https://login.example.com/token', ...)"


@pytest.mark.parametrize("controls", [True, False])
def test_adoption_leaves_other_owners_as_they_are(controls: bool) -> None:
    backup = {
        "apiVersion": "backup.example.com/v1",
        "kind": "Backup",
        "name": "b",
        "uid": "b-1",
        "controller": controls,
    }
    before = created(facts(), credential_data())
    before["metadata"]["ownerReferences"] = [backup | {"blockOwnerDeletion": True}]
    owners = stored(before).metadata.owner_references
    body = adoption_patch(resource_version="7", datasource_name="sales", datasource_uid=UID, owners=owners)
    *others, ours = body["metadata"]["ownerReferences"]
    assert others == [backup | {"blockOwnerDeletion": True}]
    assert ours == (OWNER if not controls else {name: OWNER[name] for name in ("apiVersion", "kind", "name", "uid")})


# What somebody altered.


@pytest.mark.parametrize(
    ("annotations", "what"),
    [
        pytest.param({}, Annotation.CREDENTIAL_ID, id="no credential ID"),
        pytest.param({Annotation.CREDENTIAL_ID: ""}, Annotation.CREDENTIAL_ID, id="an empty credential ID"),
        pytest.param({Annotation.CREDENTIAL_ID: "c"}, Annotation.FINGERPRINT, id="no fingerprint"),
        pytest.param(LEAST_ANNOTATIONS | {Annotation.REVISION: "three"}, Annotation.REVISION, id="a revision in words"),
        pytest.param(LEAST_ANNOTATIONS | {Annotation.EXPIRES_AT: "soon"}, Annotation.EXPIRES_AT, id="an end in words"),
        pytest.param(
            LEAST_ANNOTATIONS | {Annotation.EXPIRES_AT: "2026-07-01T12:00:00"},
            Annotation.EXPIRES_AT,
            id="an end without an offset",
        ),
        pytest.param(
            LEAST_ANNOTATIONS | {Annotation.EXPIRES_AT: "0001-01-01T00:00:00+01:00"},
            Annotation.EXPIRES_AT,
            id="an end before all time",
        ),
        pytest.param(
            LEAST_ANNOTATIONS | {Annotation.REFRESHED_AT: ""}, Annotation.REFRESHED_AT, id="an empty time of refresh"
        ),
        pytest.param(LEAST_ANNOTATIONS | {Annotation.HANDLED: "{"}, Annotation.HANDLED, id="a handled set cut short"),
        pytest.param(
            LEAST_ANNOTATIONS | {Annotation.HANDLED: '{"refresh": 1}'},
            Annotation.HANDLED,
            id="a handled set of numbers",
        ),
        pytest.param(
            LEAST_ANNOTATIONS | {Annotation.TOMBSTONE: "Gone"}, Annotation.TOMBSTONE, id="a tombstone for no reason"
        ),
        pytest.param(LEAST_ANNOTATIONS | {Annotation.INTENT: "{}"}, Annotation.INTENT, id="an intent of nobody"),
        pytest.param(LEAST_ANNOTATIONS | {Annotation.VERDICT: "Dead"}, Annotation.VERDICT, id="a verdict there is not"),
    ],
)
def test_altered_annotation_is_named_and_its_value_is_not(annotations: dict[str, str], what: str) -> None:
    with pytest.raises(UnreadableCredential) as caught:
        read_facts(annotations)
    assert what in caught.value.what
    for value in annotations.values():
        assert value == "" or len(value) < 4 or value not in caught.value.what


def test_least_annotations_are_enough() -> None:
    assert read_facts(LEAST_ANNOTATIONS) == CredentialFacts(credential_id="cred-1", fingerprint="fp-1")


def test_times_are_read_in_utc() -> None:
    assert read_credential(annotated(EXPIRES_AT="2026-07-01T14:00:00+02:00")).expires_at == NOW


_MISSING: Any = object()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("access_token", _MISSING, id="no access token"),
        pytest.param("token_endpoint", _MISSING, id="no token endpoint"),
        pytest.param("fingerprint", _MISSING, id="no fingerprint"),
        pytest.param("refresh_token", b"\xff", id="a refresh token that is no text"),
        pytest.param("access_token", b"\xff\xfe", id="an access token that is no text"),
    ],
)
def test_altered_data_is_named_and_its_value_is_not(key: str, value: bytes) -> None:
    values: dict[str, str | bytes] = {
        name: text for name, text in msgspec.structs.asdict(credential_data(access_token="sentinel")).items() if text
    }
    values = {name: text for name, text in (values | {key: value}).items() if text is not _MISSING}
    with pytest.raises(UnreadableCredential) as caught:
        read_data(secret(values))
    assert key in caught.value.what
    assert "sentinel" not in caught.value.what


def test_data_that_is_no_base64_is_unreadable() -> None:
    broken = Secret(metadata=metadata(), data={"access_token": "?"})
    with pytest.raises(UnreadableCredential, match="data key access_token is not UTF-8 text in base64"):
        read_data(broken)


def test_secret_without_data_is_unreadable() -> None:
    with pytest.raises(UnreadableCredential):
        read_data(secret())


def test_keys_that_somebody_added_are_passed_over() -> None:
    values = {name: text for name, text in msgspec.structs.asdict(credential_data()).items() if text}
    assert read_data(secret(values | {"added": b"\xff"})) == credential_data()


@pytest.mark.parametrize(
    ("annotations", "ours"),
    [
        pytest.param({Annotation.DATASOURCE: "sales", Annotation.ROLE: "credential"}, True, id="name and role fit"),
        pytest.param(
            {Annotation.DATASOURCE: "other", Annotation.ROLE: "credential"}, False, id="of another Datasource"
        ),
        pytest.param({Annotation.DATASOURCE: "sales", Annotation.ROLE: "token"}, False, id="in another role"),
        pytest.param({Annotation.ROLE: "credential"}, False, id="of no Datasource"),
        pytest.param({}, False, id="without annotations"),
    ],
)
def test_secret_is_ours_by_datasource_and_role(annotations: dict[str, str], ours: bool) -> None:
    assert is_ours(metadata(annotations=annotations), "sales", Role.CREDENTIAL) is ours


# Anything at all.

_words = st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=12)
_moments = st.none() | st.integers(-(10**9), 10**9).map(lambda seconds: NOW + timedelta(seconds=seconds))
_facts = st.builds(
    CredentialFacts,
    credential_id=_words,
    revision=st.integers(1, 10**9),
    replaces=st.just("") | _words,
    fingerprint=_words,
    requested_scopes=st.lists(_words, max_size=3).map(tuple),
    granted_scopes=st.lists(_words, max_size=3).map(tuple),
    expires_at=_moments,
    refreshed_at=_moments,
    has_refresh_token=st.booleans(),
    authorized_as=st.none() | st.text(max_size=20),
    ticket_hash=st.none() | _words,
    handled=st.builds(HandledSet, refresh=st.lists(_words, max_size=3).map(tuple)),
    intent=st.none()
    | st.builds(Intent, id=_words, process=_words, pod=_words, at=st.just(NOW), sends=st.integers(1, 9)),
    stored_by=st.none() | _words,
    verdict=st.none() | st.sampled_from(Reason),
    verdict_message=st.none() | st.text(max_size=20),
    told_lifetime=st.none() | st.integers(1, 10**8).map(lambda seconds: timedelta(seconds=seconds)),
    expiry_hint=_moments,
    grant_expires_at=_moments,
    identity_problem=st.none() | st.text(max_size=20),
    authorized_at=_moments,
)


@given(before=_facts, after=_facts)
def test_any_facts_survive_creation_and_replacement(before: CredentialFacts, after: CredentialFacts) -> None:
    body = created(before, credential_data())
    assert read_facts(stored(body).metadata.annotations) == before
    assert read_facts(stored(merged(body, replaced(after, None))).metadata.annotations) == after


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "soon", "1" * 10, "\u0661"])
def test_lifetime_that_somebody_altered_is_unreadable(text: str) -> None:
    with pytest.raises(UnreadableCredential, match="told-lifetime"):
        read_facts(annotated(TOLD_LIFETIME=text).annotations)


@given(st.dictionaries(st.sampled_from(Annotation), st.text(max_size=30)))
def test_arbitrary_annotations_raise_nothing_but_unreadable(annotations: dict[Annotation, str]) -> None:
    try:
        read = read_facts(metadata(annotations={**LEAST_ANNOTATIONS, **annotations}).annotations)
    except UnreadableCredential:
        return
    expires_at = read.expires_at if isinstance(read, CredentialFacts) else read.revoke_until
    assert expires_at is None or expires_at.utcoffset() == timedelta(0)


def test_time_of_authorization_that_somebody_altered_costs_no_credential() -> None:
    annotations = stored_secret().metadata.annotations
    found = read_facts({**annotations, "datasource.dev/authorized-at": "yesterday"})
    assert isinstance(found, CredentialFacts)
    assert found.authorized_at is None


@pytest.mark.parametrize(("fits", "said"), [(True, "hash-1 fits"), (False, "hash-1 differs")])
def test_comparison_of_identities_is_written_and_read(fits: bool, said: str) -> None:
    compared = facts(identity_checked="hash-1", identity_fits=fits)
    annotations = stored_secret(facts_=compared).metadata.annotations
    assert annotations["datasource.dev/expected-identity"] == said
    assert read_facts(stored_secret(facts_=compared).metadata.annotations) == compared


@pytest.mark.parametrize("said", ["", "fits", " fits", "hash-1", "hash-1 perhaps"])
def test_altered_comparison_is_none(said: str) -> None:
    metadata_ = stored_secret().metadata
    annotations = {**metadata_.annotations, "datasource.dev/expected-identity": said}
    found = read_credential(msgspec.structs.replace(metadata_, annotations=annotations))
    assert (found.identity_checked, found.identity_fits) == (None, False)


# Captured fields.


def test_captured_fields_add_up_and_newer_ones_win() -> None:
    first = credential_data(captured=None).with_captured({"realmId": "1", "instance_url": "a"})
    assert first.captured == '{"instance_url":"a","realmId":"1"}'
    assert first.with_captured({"instance_url": "b"}).captured_fields == {"realmId": "1", "instance_url": "b"}
    assert first.with_captured({}) == first


def test_captured_fields_of_many_specs_never_fill_the_secret() -> None:
    data = credential_data(captured=None)
    for edit in range(100):
        data = data.with_captured({f"field-{edit}-{number}": "😀" * 2048 for number in range(32)})
    kept = data.captured_fields
    assert {f"field-99-{number}" for number in range(32)} <= kept.keys()
    assert sum(len(name.encode()) + len(value.encode()) for name, value in kept.items()) <= LARGEST_CAPTURED


def test_nothing_captured_is_no_key() -> None:
    assert credential_data(captured=None).with_captured({}).captured is None
    assert credential_data(captured=None).captured_fields == {}


@pytest.mark.parametrize("text", ["", "x", "[]", '{"a": 1}'])
def test_captured_fields_that_somebody_altered_are_unreadable(text: str) -> None:
    values = {
        key: value for key, value in msgspec.structs.asdict(credential_data(captured=text)).items() if value is not None
    }
    with pytest.raises(UnreadableCredential, match="captured"):
        read_data(secret(values))


# What an issuer promised.

SAID = ProviderMetadata(
    issuer="https://login.example.com",
    authorization_response_iss_parameter_supported=True,
    require_pushed_authorization_requests=True,
    code_challenge_methods_supported=("S256",),
)


@pytest.mark.parametrize("promised", [None, SAID, ProviderMetadata(issuer="https://login.example.com")])
def test_promises_are_read_back(promised: ProviderMetadata | None) -> None:
    assert read_credential(stored_secret(facts_=facts(promised=promised)).metadata).promised == promised


def read_promised(written: str) -> ProviderMetadata | None:
    metadata_ = stored_secret().metadata
    annotations = {**metadata_.annotations, "datasource.dev/promised": written}
    return read_credential(msgspec.structs.replace(metadata_, annotations=annotations)).promised


@pytest.mark.parametrize("altered", ["", "{", "[]", "{}", '{"issuer": 5}', "\ud800"])
def test_altered_promises_are_as_if_there_were_none(altered: str) -> None:
    assert read_promised(altered) is None


def test_endpoint_that_somebody_wrote_among_the_promises_leads_nowhere() -> None:
    forged = '{"issuer": "https://login.example.com", "token_endpoint": "https://evil.example.com/token"}'
    assert read_promised(forged) == ProviderMetadata(issuer="https://login.example.com")
