"""The objects that the plugin reads, typed: only the fields it uses; what a newer cluster adds is passed over."""

from datetime import datetime

import msgspec

from datasource.api.clock import parse_rfc3339
from datasource.api.names import default_token_secret_name
from datasource.api.objects import Condition, Metadata, Status


class SecretKeyRef(msgspec.Struct, frozen=True):
    """A key of a Secret in the same namespace; the API server fills in the usual key where none is written."""

    name: str = ""
    key: str = ""


class OAuth2(
    msgspec.Struct,
    frozen=True,
    rename={
        "client_id": "clientID",
        "client_secret_ref": "clientSecretRef",
        "private_key_ref": "privateKeyRef",
        "authorize_url": "authorizeURL",
        "token_url": "tokenURL",
    },
):
    """`spec.oauth2`, as far as a person has to be told about it."""

    client_id: str | None = None
    client_secret_ref: SecretKeyRef | None = None
    private_key_ref: SecretKeyRef | None = None
    issuer: str | None = None
    authorize_url: str | None = None
    token_url: str | None = None
    scopes: tuple[str, ...] = ()


class TokenSecret(msgspec.Struct, frozen=True):
    """`spec.tokenSecret`."""

    name: str | None = None


class Spec(
    msgspec.Struct,
    frozen=True,
    rename={"token_secret": "tokenSecret", "deletion_policy": "deletionPolicy"},
):
    """`spec` of a Datasource."""

    url: str = ""
    oauth2: OAuth2 | None = None
    token_secret: TokenSecret = TokenSecret()
    deletion_policy: str | None = None
    suspend: bool | None = None


class Datasource(msgspec.Struct, frozen=True):
    """A Datasource as kubectl prints it."""

    metadata: Metadata
    spec: Spec = Spec()
    status: Status = Status()

    @property
    def place(self) -> str:
        """`namespace/name`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def is_looked_at(self) -> bool:
        """Whether the status is about this very spec."""
        return self.status.observed_generation == self.metadata.generation

    @property
    def ready(self) -> Condition | None:
        """The Ready condition."""
        return self.status.condition("Ready")

    @property
    def reason(self) -> str:
        """The reason of the Ready condition; empty before the operator saw the Datasource."""
        return "" if self.ready is None else self.ready.reason

    @property
    def message(self) -> str:
        """What the operator says to people."""
        return "" if self.ready is None else self.ready.message

    @property
    def expires_at(self) -> datetime | None:
        """When the access token runs out."""
        return None if self.status.expires_at is None else parse_rfc3339(self.status.expires_at)

    @property
    def token_secret_name(self) -> str:
        """The Secret that apps mount."""
        return self.spec.token_secret.name or default_token_secret_name(self.metadata.name)


class DatasourceList(msgspec.Struct, frozen=True):
    """A List of Datasources."""

    items: tuple[Datasource, ...] = ()


class EventSeries(msgspec.Struct, frozen=True, rename="camel"):
    """How often an Event happened, and when last."""

    count: int = 0
    last_observed_time: str | None = None


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """A core/v1 Event, in which form more people may read them than as events.k8s.io/v1."""

    reason: str = ""
    message: str = ""
    type: str = ""
    event_time: str | None = None
    last_timestamp: str | None = None
    series: EventSeries | None = None

    @property
    def seen_at(self) -> datetime | None:
        """When it happened last."""
        last = None if self.series is None else self.series.last_observed_time
        text = last or self.last_timestamp or self.event_time
        return None if text is None else parse_rfc3339(text)


class EventList(msgspec.Struct, frozen=True):
    """A List of Events."""

    items: tuple[Event, ...] = ()
