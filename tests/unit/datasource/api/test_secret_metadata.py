"""Labels and annotations for the Secret that keeps the tokens."""

import msgspec

from datasource.api.secret_metadata import NO_METADATA, CredentialSecret, SecretMetadata


def test_whoever_writes_nothing_asks_for_nothing() -> None:
    assert CredentialSecret().template == NO_METADATA
    assert msgspec.json.encode(CredentialSecret()) == b"{}"
    assert msgspec.convert({"template": {"labels": {}}}, CredentialSecret).template == NO_METADATA


def test_labels_and_annotations_are_told_apart() -> None:
    asked = msgspec.convert({"template": {"annotations": {"a": "b"}}}, CredentialSecret).template
    assert asked == SecretMetadata(annotations={"a": "b"})
    assert asked != SecretMetadata(labels={"a": "b"})
