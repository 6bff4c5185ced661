"""Wires up what sign-in needs, in addition to what the callback server always has."""

import secrets
import time

from callback_server.dialog import DialogService
from callback_server.limits import Bulkhead, Denials
from callback_server.signed_in.datasources import DatasourceService
from callback_server.signed_in.gate import Gate
from callback_server.signed_in.issuer import Issuer
from callback_server.signed_in.rights import Rights
from callback_server.signed_in.routes import People
from callback_server.signed_in.sessions import SessionStore
from callback_server.signed_in.sign_in import SignInService, Tries
from callback_server.signed_in.trail import Trail
from callback_server.signed_in.visitors import Visitors
from datasource.cluster.credential_secrets import CredentialSecrets
from datasource.cluster.kube import Kube
from datasource.cluster.link_keys import LinkKeyStore
from datasource.cluster.page_requests import PageRequests
from datasource.outbound.egress import EgressPolicy, Rules, rules
from datasource.process.audit import AuditLog
from datasource.process.clock import utc_now
from datasource.process.settings import Settings
from datasource.process.sign_in import SignIn
from datasource.providers.discovery import Discovery
from datasource.providers.transport import Transport
from datasource.providers.verifier import IdTokenVerifier
from datasource.records.session import digest_of_settings

SIGN_INS = 32
"""How many people wait for the issuer at one time. More people queue for a moment."""


def egress_to_issuer(egress: EgressPolicy, sign_in: SignIn) -> EgressPolicy:
    """The egress policy for requests of a sign-in. It also allows the issuer, but hosts that are denied stay denied."""
    known, issuer = egress.allowed, rules([sign_in.host])
    allowed = Rules(known.names | issuer.names, known.suffixes, known.networks + issuer.networks)
    return EgressPolicy(allowed=allowed, denied=egress.denied)


def people(
    kube: Kube,
    to_issuer: Transport,
    settings: Settings,
    sign_in: SignIn,
    dialog: DialogService,
    credential_secrets: CredentialSecrets,
    link_keys: LinkKeyStore,
) -> People:
    """Make what the routes of people call.

    Args:
        kube: the connection to the API server.
        to_issuer: sends requests to the issuer only.
        settings: all settings of the callback server.
        sign_in: the settings of sign-in.
        dialog: begins authorizations.
        credential_secrets: writes requests for a clear or a refresh.
        link_keys: the keys that mark cookies and requests.
    """
    discovery = Discovery(to_issuer, time.monotonic, allow_insecure_http=settings.allow_insecure_http)
    issuer = Issuer(
        sign_in,
        to_issuer,
        discovery,
        IdTokenVerifier(to_issuer, discovery, time.monotonic),
        settings.system_namespace,
        utc_now,
    )
    sessions = SessionStore(
        kube,
        settings.system_namespace,
        digest_of_settings(
            sign_in.issuer,
            sign_in.client_id,
            sign_in.username_claim,
            sign_in.username_prefix,
            sign_in.groups_claim,
            sign_in.groups_prefix,
        ),
        link_keys,
        utc_now,
        time.monotonic,
    )
    visitors = Visitors(sessions, settings.external_url, secrets.token_bytes)
    trail = Trail(AuditLog(is_wanted=True), utc_now)
    rights = Rights(kube, settings.namespaces, time.monotonic, trail, Denials(time.monotonic))
    bulkhead = Bulkhead(in_all=SIGN_INS, per_namespace=SIGN_INS, longest_wait=5.0, longest_line=256)
    service = SignInService(
        issuer, sessions, settings.external_url, link_keys, bulkhead, Tries(time.monotonic), trail, utc_now
    )
    requests = PageRequests(credential_secrets, utc_now, link_keys.known)
    return People(
        sign_in=service,
        sessions=sessions,
        visitors=visitors,
        datasources=DatasourceService(kube, rights, dialog, requests, visitors),
        gate=Gate(rights),
        settings=settings,
    )
