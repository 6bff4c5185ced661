"""The objects that a bench makes: exactly as people, the callback server and the operator make them. Pure.

What the operator would write is computed with its own code. An operator that starts on these objects writes
nothing: that shows that they are exact.
"""

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from bench.imitation import refresh_token
from datasource.api.names import API_VERSION, KIND
from datasource.api.objects import Datasource, OwnerReference
from datasource.api.requests import Requests
from datasource.api.spec import Spec
from datasource.api.spec_problems import parse_spec
from datasource.outbound.egress import EgressPolicy, rules
from datasource.records.contents import StoredCredential
from datasource.records.credential import CredentialData, CredentialFacts
from datasource.records.credential_patches import credential_manifest
from datasource.records.fingerprint import fingerprint
from datasource.records.token_secret import plan_token_secret
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.observed import Observed
from datasource_operator.decisions.status import StatusSettings, status_patch, wanted_status

CLIENT_SECRET = "app"  # noqa: S105 - the name of a Secret
LIFETIME = timedelta(hours=1)
_EGRESS = EgressPolicy(allowed=rules(["127.0.0.1"]))
"""Where the provider imitation is, as for the processes that deploy/local starts."""
DUE_AGE = timedelta(minutes=50)
"""A token of this age is due for its refresh, and works for ten more minutes."""


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the objects of one installation."""

    provider: str
    """The URL of the provider."""
    external_url: str

    def datasource(self, namespace: str, name: str) -> dict[str, Any]:
        """What a person applies."""
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "url": "https://api.example.com/v3",
                "oauth2": {
                    "clientID": "bench",
                    "clientSecretRef": {"name": CLIENT_SECRET, "key": "client-secret"},
                    "authorizeURL": f"{self.provider}/authorize",
                    "tokenURL": f"{self.provider}/token",
                    "scopes": ["read", "offline_access"],
                },
            },
        }

    def client_secret(self, namespace: str) -> dict[str, Any]:
        """The Secret that every Datasource of a namespace names."""
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": CLIENT_SECRET, "namespace": namespace},
            "stringData": {"client-secret": "bench-client-secret"},
        }

    def credential(
        self, datasource: Datasource, now: datetime, age: timedelta
    ) -> tuple[CredentialFacts, CredentialData]:
        """What the callback server stored when the person consented, `age` ago."""
        oauth2 = self.spec(datasource).oauth2
        assert oauth2 is not None
        family = uuid.uuid4().hex
        facts = CredentialFacts(
            credential_id=family,
            fingerprint=fingerprint(oauth2),
            requested_scopes=oauth2.scopes,
            granted_scopes=oauth2.scopes,
            expires_at=now - age + LIFETIME,
            refreshed_at=now - age,
            has_refresh_token=True,
            ticket_hash=secrets.token_hex(32),
        )
        data = CredentialData(
            access_token=f"{family}.0.{'a' * 400}",
            token_type="Bearer",
            token_endpoint=oauth2.token_url or "",
            fingerprint=facts.fingerprint,
            client_id=oauth2.client_id or "",
            refresh_token=refresh_token(family, 0),
        )
        return facts, data

    def credential_secret(self, datasource: Datasource, facts: CredentialFacts, data: CredentialData) -> dict[str, Any]:
        """The Secret that keeps it."""
        return credential_manifest(
            namespace=datasource.metadata.namespace,
            datasource_name=datasource.metadata.name,
            datasource_uid=datasource.metadata.uid,
            facts=facts,
            data=data,
        )

    def token_secret(self, datasource: Datasource, facts: CredentialFacts, data: CredentialData) -> dict[str, Any]:
        """The Secret that apps mount."""
        metadata = datasource.metadata
        due = plan_token_secret(
            namespace=metadata.namespace,
            name=metadata.name,
            uid=metadata.uid,
            spec=self.spec(datasource),
            facts=facts,
        )
        return due.manifest(facts, data)

    def status(self, datasource: Datasource, facts: CredentialFacts | None, now: datetime) -> dict[str, Any]:
        """The patch that brings the status to what the operator makes of it."""
        seen = self._observed(datasource, facts, now)
        patch = status_patch(datasource.status, wanted_status(seen, finding_of(seen), self._surface))
        assert patch is not None
        return patch

    @staticmethod
    def spec(datasource: Datasource) -> Spec:
        """Its spec, parsed."""
        return parse_spec(datasource.spec, allow_insecure_http=False, egress=_EGRESS)

    @property
    def _surface(self) -> StatusSettings:
        return StatusSettings(self.external_url, secrets.token_bytes)

    def _observed(self, datasource: Datasource, facts: CredentialFacts | None, now: datetime) -> Observed:
        metadata = datasource.metadata
        owner = OwnerReference(uid=metadata.uid, kind=KIND, name=metadata.name)
        return Observed(
            namespace=metadata.namespace,
            name=metadata.name,
            uid=metadata.uid,
            generation=metadata.generation,
            being_deleted=False,
            spec=self.spec(datasource),
            requests=Requests(),
            status=datasource.status,
            credential=None if facts is None else StoredCredential(facts, "1", (owner,)),
            token_secrets=(),
            now=now,
        )


def aged(facts: CredentialFacts, now: datetime, age: timedelta) -> CredentialFacts:
    """The same credential, as if it had been refreshed `age` ago."""
    return msgspec.structs.replace(facts, refreshed_at=now - age, expires_at=now - age + LIFETIME)
