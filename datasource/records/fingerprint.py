"""Hashes of OAuth2 parameters: what a credential is bound to, and what a person saw before clicking."""

import hashlib

import msgspec

from datasource.api.spec import OAuth2


def fingerprint(oauth2: OAuth2) -> str:
    """SHA-256 (hex) of what decides where tokens may go: client ID, issuer, provider, authorize URL, token URL, as written.

    Stored with every credential: the encoding never changes (a golden test pins it).
    """
    bound = {
        "authorizeURL": oauth2.authorize_url,
        "clientID": oauth2.client_id,
        "issuer": oauth2.issuer,
        "provider": oauth2.provider,
        "tokenURL": oauth2.token_url,
    }
    return hashlib.sha256(msgspec.json.encode(bound, order="deterministic")).hexdigest()


def parameters_hash(oauth2: OAuth2) -> str:
    """SHA-256 (hex) of the whole of `spec.oauth2`. After an edit of any field, links and flows under way are no longer valid.

    Fields at their defaults are left out, so a later version with more fields computes the same.
    """
    return hashlib.sha256(msgspec.json.encode(oauth2, order="deterministic")).hexdigest()
