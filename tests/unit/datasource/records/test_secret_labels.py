"""Labels and annotations of a template on a credential Secret: put there, changed, taken off; ours never touched."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.names import Annotation
from datasource.api.secret_metadata import NO_METADATA, SecretMetadata
from datasource.records.contents import StoredCredential, StoredTombstone, contents_in
from datasource.records.credential_patches import credential_manifest, credential_patch
from datasource.records.secret_labels import (
    NOTHING_WRITTEN,
    as_written,
    created_metadata,
    relabel_patch,
    written_in,
)
from tests.unit.datasource.builders import UID, facts
from tests.unit.datasource.records.credential_secrets import merged, stored

ONE = SecretMetadata({"team": "sales", "tier": "1"}, {"example.com/a": "b"})
TWO = SecretMetadata({"team": "ops"}, {"example.com/c": "d"})


def manifest(template: SecretMetadata = NO_METADATA) -> dict[str, Any]:
    return credential_manifest(
        namespace="shop", datasource_name="sales", datasource_uid=UID, facts=facts(), data=None, template=template
    )


def relabelled(before: dict[str, Any], template: SecretMetadata) -> dict[str, Any]:
    return merged(before, relabel_patch("7", written_in(before["metadata"]["annotations"]), template))


def of_others(secret: dict[str, Any]) -> SecretMetadata:
    """What is not ours on a Secret."""
    annotations = secret["metadata"]["annotations"]
    others = {key: value for key, value in annotations.items() if not key.startswith("datasource.dev/")}
    return SecretMetadata(secret["metadata"].get("labels", {}), others)


def test_secret_is_made_with_what_the_template_says_and_tells_so() -> None:
    made = manifest(ONE)
    assert of_others(made) == ONE
    found = contents_in(stored(made).metadata)
    assert isinstance(found, StoredCredential)
    assert found.written == as_written(ONE)
    assert found.facts == facts()


def test_without_a_template_the_secret_is_made_as_ever() -> None:
    made = manifest()
    assert "labels" not in made["metadata"]
    assert Annotation.TEMPLATE not in made["metadata"]["annotations"]
    assert written_in(made["metadata"]["annotations"]) == as_written(NO_METADATA) == NOTHING_WRITTEN
    assert created_metadata(NO_METADATA) == {"labels": {}, "annotations": {}}


def test_later_template_takes_off_what_the_earlier_one_put_there_and_nothing_of_others() -> None:
    made = manifest(ONE)
    made["metadata"]["labels"]["theirs"] = "x"
    made["metadata"]["annotations"]["example.com/theirs"] = "y"
    changed = relabelled(made, TWO)
    assert of_others(changed) == SecretMetadata(
        {"team": "ops", "theirs": "x"}, {"example.com/c": "d", "example.com/theirs": "y"}
    )
    assert written_in(changed["metadata"]["annotations"]) == as_written(TWO)
    assert changed["metadata"]["resourceVersion"] == "7"
    bare = relabelled(changed, NO_METADATA)
    assert of_others(bare) == SecretMetadata({"theirs": "x"}, {"example.com/theirs": "y"})
    assert Annotation.TEMPLATE not in bare["metadata"]["annotations"]


def test_new_credential_and_tombstone_keep_what_the_template_put_there() -> None:
    patch = credential_patch(datasource_name="sales", resource_version="7", facts=facts(revision=9), data=None)
    after = merged(manifest(ONE), patch)
    assert of_others(after) == ONE
    assert written_in(after["metadata"]["annotations"]) == as_written(ONE)


def test_every_change_of_a_template_is_seen_and_the_order_of_keys_is_none() -> None:
    assert len({as_written(each).hash for each in (ONE, TWO, NO_METADATA, SecretMetadata({"team": "sales"}))}) == 4
    turned = SecretMetadata({"tier": "1", "team": "sales"}, {"example.com/a": "b"})
    assert as_written(turned).hash == as_written(ONE).hash


@pytest.mark.parametrize("altered", ["", "{", "7", '{"hash": 7}', '{"labels": {"a": "b"}}', "\ud800"])
def test_altered_record_is_as_if_nothing_was_written(altered: str) -> None:
    assert written_in({Annotation.TEMPLATE: altered}) == NOTHING_WRITTEN


def test_tombstone_tells_what_was_put_on_it() -> None:
    made = manifest(ONE)
    made["metadata"]["annotations"][Annotation.TOMBSTONE] = "CredentialCleared"
    found = contents_in(stored(made).metadata)
    assert isinstance(found, StoredTombstone)
    assert found.written == as_written(ONE)


KEYS = st.sampled_from(["team", "tier", "example.com/a", "example.com/b"])
TEMPLATES = st.builds(
    SecretMetadata, st.dictionaries(KEYS, st.sampled_from("xyz")), st.dictionaries(KEYS, st.sampled_from("xyz"))
)


@given(st.lists(TEMPLATES, min_size=1, max_size=5))
def test_whatever_came_before_the_last_template_holds_and_facts_stay(templates: list[SecretMetadata]) -> None:
    secret = manifest(templates[0])
    ours: dict[str, str] = manifest()["metadata"]["annotations"]
    for template in templates[1:]:
        secret = relabelled(secret, template)
    assert of_others(secret) == templates[-1]
    assert ours.items() <= secret["metadata"]["annotations"].items()
    assert contents_in(stored(secret).metadata) == msgspec.structs.replace(
        contents_in(stored(secret).metadata), written=as_written(templates[-1])
    )
