"""Pure: which token of a Secret is to be revoked, what that needs, and when to give up."""

from datetime import datetime, timedelta

import msgspec

from datasource.api.clock import parse_rfc3339
from datasource.api.names import REVOKE_FINALIZER, Annotation
from datasource.api.objects import Metadata, Secret
from datasource.oauth2.revocation import TokenTypeHint
from datasource.records.credential import UnreadableCredential, data_values


class RevocableToken(msgspec.Struct, frozen=True, rename="lower"):
    """One token and what is needed to revoke it. A tombstone keeps this until the token is revoked.

    The keys are those of CredentialData, so a new credential that is stored over it leaves nothing of it.
    """

    revocation_endpoint: str
    token_endpoint: str
    fingerprint: str
    client_id: str
    refresh_token: str | None = None
    access_token: str | None = None
    client_parameters: str | None = None
    client_secret: str | None = None
    ca_bundle: str | None = None
    token_headers: str | None = None

    def __repr__(self) -> str:
        return f"RevocableToken(revocation_endpoint={self.revocation_endpoint!r}, ...)"

    @property
    def token(self) -> str:
        """The token to send."""
        return self.refresh_token or self.access_token or ""

    @property
    def hint(self) -> TokenTypeHint:
        """Whether that is a refresh token or an access token."""
        return TokenTypeHint.ACCESS_TOKEN if self.refresh_token is None else TokenTypeHint.REFRESH_TOKEN


def revocable_token(secret: Secret) -> RevocableToken | None:
    """The token of a credential or tombstone that is to be revoked, the refresh token first (RFC 7009 section 2.1).

    A refresh token that the provider has declared dead is never sent again. Then it is the access token. None where there is no
    token, or no revocation endpoint.

    Raises:
        UnreadableCredential: the data was altered.
    """
    values = data_values(secret)
    if Annotation.VERDICT in secret.metadata.annotations:
        values.pop("refresh_token", None)
    if "revocation_endpoint" not in values or not ("refresh_token" in values or "access_token" in values):
        return None
    if "refresh_token" in values:
        values.pop("access_token", None)
    try:
        return msgspec.convert(values, RevocableToken)
    except msgspec.ValidationError as error:
        raise UnreadableCredential(f"data: {error}") from None


def revocation_is_due(metadata: Metadata) -> bool:
    """Whether a token of this Secret waits to be revoked, even if the rest of the Secret cannot be parsed."""
    is_held = metadata.deletion_timestamp is not None and REVOKE_FINALIZER in metadata.finalizers
    return is_held or Annotation.REVOKE_UNTIL in metadata.annotations


def revocation_deadline(metadata: Metadata, patience: timedelta) -> datetime | None:
    """When to give up a revocation that is due; None where that cannot be parsed."""
    try:
        if metadata.deletion_timestamp is not None:
            return parse_rfc3339(metadata.deletion_timestamp) + patience
        return parse_rfc3339(metadata.annotations.get(Annotation.REVOKE_UNTIL, ""))
    except ValueError:
        return None
