"""The credential that an authorization makes: blank while the code is exchanged, filled with what the reply brings. Pure."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from callback_server.identity import Authorizer
from callback_server.situation import Situation
from datasource.api.spec import DeletionPolicy
from datasource.cluster.clients import ClientMaterial
from datasource.oauth2.callback import AuthorizationResponse
from datasource.oauth2.token_response import TokenResponse, captured_text, scopes_in
from datasource.outbound.redaction import said
from datasource.records.credential import CredentialData, CredentialFacts
from datasource.records.effective import Effective, reply_options
from datasource.records.fingerprint import fingerprint
from datasource.records.flow import Flow

NewCredential = tuple[CredentialFacts, CredentialData]


def blank_credential(
    situation: Situation,
    effective: Effective,
    flow: Flow,
    *,
    captured: Mapping[str, str],
    granted: tuple[str, ...] = (),
    credential_id: str,
    material: ClientMaterial,
) -> NewCredential:
    """All that is known before the reply comes; the set of handled requests is filled in when it is stored.

    `granted` are scopes that the callback named.
    """
    scopes = effective.parameters.scopes
    bound_to = fingerprint(situation.oauth2)
    facts = CredentialFacts(
        credential_id=credential_id,
        replaces=situation.credential_id,
        fingerprint=bound_to,
        requested_scopes=scopes,
        granted_scopes=granted,
        # Whoever signed in needed none.
        ticket_hash=flow.ticket_hash or None,
        is_revocable=effective.revocation_url is not None,
        promised=None if flow.metadata is None else flow.metadata.promises_about(effective.token_url),
    )
    data = CredentialData(
        access_token="",
        token_type="",
        token_endpoint=effective.token_url,
        fingerprint=bound_to,
        client_id=effective.client_id,
        redirect_uri=flow.redirect_uri if effective.parameters.redirect_uri_on_refresh else None,
        revocation_endpoint=effective.revocation_url,
        refresh_endpoint=effective.parameters.refresh_url or None,
    )
    is_to_be_revoked = situation.spec.deletion_policy is DeletionPolicy.REVOKE
    recorded = material.recorded_in(data, is_to_be_revoked=is_to_be_revoked)
    return facts, recorded.with_captured(captured)


def filled(blank: NewCredential, response: TokenResponse, at: datetime) -> NewCredential:
    """The credential that a token response makes; `at` is when it came."""
    facts, data = blank
    known = msgspec.structs.replace(
        facts,
        granted_scopes=facts.granted_scopes or facts.requested_scopes if response.scopes is None else response.scopes,
        expires_at=response.expires_at,
        told_lifetime=response.told_lifetime,
        expiry_hint=response.expiry_hint,
        grant_expires_at=response.grant_expires_at,
        grant_lifetime=None if response.grant_expires_at is None else response.grant_expires_at - at,
        refreshed_at=at,
        authorized_at=at,
        has_refresh_token=response.refresh_token is not None,
    )
    tokens = msgspec.structs.replace(
        data,
        access_token=response.access_token,
        token_type=response.token_type,
        refresh_token=response.refresh_token,
    )
    return known, tokens.with_captured(response.captured)


def captured_on_the_way_back(effective: Effective, response: AuthorizationResponse) -> Mapping[str, str]:
    """The captured fields that stand in the callback's query, where a person's browser brought them."""
    names = effective.parameters.captured_fields.callback
    found = {name: captured_text(response.other.get(name)) for name in names}
    return {name: text for name, text in found.items() if text is not None}


def scopes_on_the_way_back(effective: Effective, response: AuthorizationResponse) -> tuple[str, ...]:
    """The scopes that the callback names: what some services say nowhere else (Strava). A browser brought them, so they are
    shown, and give nobody anything."""
    return scopes_in(response.other.get("scope"), reply_options(effective.parameters).scope_separator) or ()


def named_server(response: AuthorizationResponse) -> str | None:
    """The server that keeps the account, where the service names one (Zoho: accounts-server).

    A browser brought it, so nothing is sent there.
    """
    named = response.other.get("accounts-server")
    return said(named) if named else None


def authorized_by(authorizer: Authorizer, credential: NewCredential) -> NewCredential:
    """The same credential, with who authorized."""
    facts, data = credential
    known = msgspec.structs.replace(
        facts,
        authorized_as=authorizer.shown,
        identity_problem=authorizer.problem,
        identity_checked=authorizer.checked,
        identity_fits=authorizer.checked is not None,
    )
    return known, msgspec.structs.replace(data, identity=authorizer.kept)
