"""I/O: what a client proves itself with, and whom it trusts: read live at each use and never cached.

That is a client secret or a private key from a Secret, and a CA bundle, inline or from a ConfigMap.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import msgspec

from datasource.api.clock import Now
from datasource.api.objects import ConfigMap, Secret
from datasource.api.spec import CABundleRef, InvalidSpec, OAuth2, SpecProblem
from datasource.api.spec_problems import bundle_problems
from datasource.api.states import Reason
from datasource.cluster.api_errors import Forbidden, NotFound
from datasource.cluster.resources import CONFIG_MAPS, SECRETS, Resource
from datasource.oauth2.extra_headers import ExtraHeader, name_problem, value_problem
from datasource.oauth2.token_request import Client
from datasource.outbound.json_text import read_json
from datasource.records.client_secret import (
    ClientSecret,
    ClientSecretNotFound,
    Ref,
    example_of,
    field_of,
    usable_client_secret,
)
from datasource.records.credential import CredentialData
from datasource.records.effective import authenticating_as_recorded, client_for, recorded_client

T = TypeVar("T")

_CA_BUNDLE_FIELD = "spec.oauth2.caBundleRef"


class ReadsObjects(Protocol):
    """What is needed of Kube."""

    async def get(self, resource: Resource, namespace: str, name: str, type_: type[T], /) -> T:
        """Read an object live."""


class ClientMaterialMissing(Exception):
    """Something is not there, or may not be used; the text names it and the remedy."""

    def __init__(self, reason: Reason, message: str, *, secret: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.secret = secret
        """The Secret whose change may mend it."""


class SecretsForbidden(Forbidden):
    """Our rights do not reach the Secret."""

    def __init__(self, error: Forbidden, secret: str) -> None:
        super().__init__(error.status, error.reason, error.message, error.retry_after)
        self.secret = secret
        """Its name."""


class ConfigMapsForbidden(Forbidden):
    """Our rights do not reach the ConfigMap of a CA bundle."""


@dataclass(frozen=True, slots=True)
class Headers:
    """Headers of requests, and the Secrets that values of them are from."""

    sent: tuple[ExtraHeader, ...] = ()
    secrets: tuple[ClientSecret, ...] = ()

    def recorded(self) -> str | None:
        """A JSON object of texts; None where there are none."""
        return msgspec.json.encode({each.name: each.value for each in self.sent}).decode() if self.sent else None

    @classmethod
    def read(cls, recorded: str) -> "Headers":
        """What `recorded` wrote; nothing where somebody altered it."""
        try:
            values = read_json(recorded, dict[str, str])
        except msgspec.MsgspecError:
            return cls()
        usable = {name: value for name, value in values.items() if not (name_problem(name) or value_problem(value))}
        return cls(tuple(ExtraHeader(name, value) for name, value in usable.items()))


@dataclass(frozen=True, slots=True)
class ClientMaterial:
    """Who a client is, what it authenticates with, and whom it trusts."""

    parameters: OAuth2
    """Filled in from the preset."""
    secret: ClientSecret | None = None
    """None for a public client."""
    ca_bundle: str | None = field(default=None, repr=False)
    """What the provider is trusted by beside the system's certificate authorities."""
    headers: "Headers" = field(default_factory=lambda: Headers())
    """What an API gateway before the provider asks for."""

    @property
    def secret_name(self) -> str | None:
        """The Secret to correct first where the provider, or a gateway before it, rejects the client."""
        return next((secret.name for secret in (self.secret, *self.headers.secrets) if secret is not None), None)

    def require_allowed(self, endpoints: Mapping[str, str]) -> None:
        """Check further endpoints that it may be sent to, by the fields of spec.oauth2.

        Raises:
            ClientMaterialMissing: it is not to be sent to one of them.
        """
        for secret in (self.secret, *self.headers.secrets):
            if secret is not None:
                try:
                    secret.require_allowed(endpoints)
                except InvalidSpec as error:
                    raise _unusable(error.problem, secret.name) from None

    def as_recorded(self, data: CredentialData) -> "ClientMaterial":
        """The same, for tokens that are there: what the spec leaves open is as it was when they were obtained."""
        return replace(self, parameters=authenticating_as_recorded(self.parameters, data.client_parameters))

    def recorded_in(self, data: CredentialData, *, is_to_be_revoked: bool) -> CredentialData:
        """The data of tokens with how the client authenticated, and where they are revoked on deletion also with what.

        Whoever deletes a namespace deletes the Secret and the ConfigMap that this came from, too.
        """
        keeps = is_to_be_revoked and data.revocation_endpoint is not None
        return msgspec.structs.replace(
            data,
            client_parameters=recorded_client(self.parameters),
            client_secret=self.secret.text if keeps and self.secret is not None else None,
            ca_bundle=self.ca_bundle if keeps else None,
            token_headers=self.headers.recorded() if keeps else None,
        )


@dataclass(frozen=True, slots=True)
class Clients:
    """Reads what clients prove themselves with, and makes clients of it."""

    kube: ReadsObjects
    require_allowed_hosts: bool
    """Whether a Secret that lists no allowed hosts may be sent nowhere. There is no default: that would fail open."""
    now: Now
    token_bytes: Callable[[int], bytes] = secrets.token_bytes

    async def material(self, namespace: str, oauth2: OAuth2, endpoints: Mapping[str, str]) -> ClientMaterial:
        """Read all of it.

        Args:
            namespace: of the Datasource.
            oauth2: its parameters, as written.
            endpoints: where the secret is sent, by the fields of spec.oauth2, beside what the parameters say or in place of
                that. What is learnt later is checked by `ClientMaterial.require_allowed`.

        Raises:
            ClientMaterialMissing: something is not there, or may not be used, or not be sent there.
            SecretsForbidden, ConfigMapsForbidden: our rights do not reach it.
            ApiError, Unavailable: the API server refused otherwise, or did not answer.
        """
        secret = await self.client_secret(namespace, oauth2, endpoints)
        headers = await self.headers(namespace, oauth2, endpoints)
        return ClientMaterial(oauth2.expanded(), secret, await self.ca_bundle(namespace, oauth2), headers)

    async def client_secret(self, namespace: str, oauth2: OAuth2, endpoints: Mapping[str, str]) -> ClientSecret | None:
        """The client secret or private key alone; None for a public client. Arguments and errors are those of `material`."""
        ref = oauth2.client_secret_ref or oauth2.private_key_ref
        return None if ref is None else await self._secret(namespace, ref, oauth2, endpoints)

    async def headers(self, namespace: str, oauth2: OAuth2, endpoints: Mapping[str, str]) -> Headers:
        """The headers of token requests alone, in their order. Arguments and errors are those of `material`."""
        sent, origins = [], []
        for header in oauth2.expanded().token_headers:
            if header.secret_ref is None:
                sent.append(ExtraHeader(header.name, header.value or "", is_secret=False))
                continue
            origin = await self._secret(namespace, header.secret_ref, oauth2, endpoints)
            sent.append(ExtraHeader(header.name, origin.text))
            origins.append(origin)
        return Headers(tuple(sent), tuple(origins))

    async def _secret(self, namespace: str, ref: Ref, oauth2: OAuth2, endpoints: Mapping[str, str]) -> ClientSecret:
        try:
            found = await self.kube.get(SECRETS, namespace, ref.name, Secret)
        except NotFound:
            raise ClientMaterialMissing(
                Reason.CLIENT_SECRET_NOT_FOUND,
                f"Secret {ref.name} named by {field_of(ref)} does not exist. "
                f"Create it: kubectl create secret generic {ref.name} -n {namespace} {example_of(ref)}",
                secret=ref.name,
            ) from None
        except Forbidden as error:
            raise SecretsForbidden(error, ref.name) from None
        try:
            return usable_client_secret(found, ref, oauth2, endpoints, require_allowed_hosts=self.require_allowed_hosts)
        except ClientSecretNotFound as error:
            raise ClientMaterialMissing(Reason.CLIENT_SECRET_NOT_FOUND, str(error), secret=ref.name) from None
        except InvalidSpec as error:
            raise _unusable(error.problem, ref.name) from None

    async def ca_bundle(self, namespace: str, oauth2: OAuth2) -> str | None:
        """The certificate authorities alone, in PEM; None for no more than the system's. Errors are those of `material`."""
        ref = oauth2.ca_bundle_ref
        if ref is None:
            return oauth2.ca_bundle
        try:
            config_map = await self.kube.get(CONFIG_MAPS, namespace, ref.name, ConfigMap)
        except NotFound:
            raise _unusable(
                SpecProblem(
                    _CA_BUNDLE_FIELD,
                    f"names ConfigMap {ref.name}, which does not exist",
                    f"Create it: kubectl create configmap {ref.name} -n {namespace} --from-file={ref.key}=...",
                )
            ) from None
        except Forbidden as error:
            raise ConfigMapsForbidden(error.status, error.reason, error.message, error.retry_after) from None
        return _usable_bundle(config_map, ref)

    def client(self, material: ClientMaterial, *, token_endpoint: str) -> Client:
        """The client for one request: an assertion with a private key works once.

        Args:
            material: who it is and what it authenticates with.
            token_endpoint: of the provider, whichever of its endpoints the request goes to.

        Raises:
            InvalidSpec: the private key cannot be used.
        """
        return client_for(
            material.parameters,
            material.secret,
            token_endpoint=token_endpoint,
            now=self.now(),
            token_bytes=self.token_bytes,
            headers=material.headers.sent,
        )


def _usable_bundle(config_map: ConfigMap, ref: CABundleRef) -> str:
    bundle = (config_map.data or {}).get(ref.key)
    if bundle is None:
        raise _unusable(
            SpecProblem(
                _CA_BUNDLE_FIELD,
                f"names key {ref.key}, which ConfigMap {ref.name} does not have",
                "Add the key, or name another in caBundleRef.key.",
            )
        )
    for problem in bundle_problems(f"{_CA_BUNDLE_FIELD}: key {ref.key} of ConfigMap {ref.name}", bundle):
        raise _unusable(problem)
    return bundle


def _unusable(problem: SpecProblem, secret: str | None = None) -> ClientMaterialMissing:
    return ClientMaterialMissing(Reason.INVALID_CONFIGURATION, str(problem), secret=secret)
