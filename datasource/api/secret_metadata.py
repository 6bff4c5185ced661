"""`spec.credentialSecret`: the labels and annotations that a credential Secret has beside ours. Pure.

For policy engines that want a label on every Secret, and for backups that select by one.
"""

import msgspec

LARGEST_METADATA = 4 * 1024
"""Bytes of keys and values together."""


class SecretMetadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """Labels and annotations by key; none of them is ours."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


NO_METADATA = SecretMetadata()


class CredentialSecret(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is said of the Secret that keeps the tokens."""

    template: SecretMetadata = NO_METADATA
