"""The data of a stored credential that a refresh may send. All parts must fit together. Pure."""

import msgspec

from datasource.api.objects import Secret
from datasource.api.spec import OAuth2
from datasource.records.credential import CredentialData, CredentialFacts, UnreadableCredential, read_data
from datasource.records.recorded_endpoints import misdirected_endpoint


def sendable_data(secret: Secret, facts: CredentialFacts, parameters: OAuth2, redirect_uri: str) -> CredentialData:
    """The data of a credential Secret for a refresh.

    Args:
        secret: as it was read, with our intent on it.
        facts: from its annotations.
        parameters: filled in from the preset.
        redirect_uri: of this Datasource. It is sent where the spec asks for one and none is recorded: v0.1.0 recorded none.

    Raises:
        UnreadableCredential: a value is missing, or it does not fit the annotations or the spec.
    """
    data = read_data(secret)
    if data.fingerprint != facts.fingerprint:
        raise UnreadableCredential("data key fingerprint differs from the annotation")
    if data.refresh_token is None:
        raise UnreadableCredential("data key refresh_token is missing")
    misdirected = misdirected_endpoint(
        parameters, token_endpoint=data.token_endpoint, refresh_endpoint=data.refresh_endpoint
    )
    if misdirected is not None:
        raise UnreadableCredential(f"data key {misdirected} is not what spec.oauth2 names")
    if not parameters.redirect_uri_on_refresh or data.redirect_uri is not None:
        return data
    return msgspec.structs.replace(data, redirect_uri=redirect_uri)
