"""The objects that the plugin reads, typed: only the fields it uses; what a newer cluster adds is passed over."""

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from datasource.api import objects
from datasource.api.clock import parse_rfc3339
from datasource.api.names import default_token_secret_name
from datasource.api.objects import Condition

if TYPE_CHECKING:
    from datasource.api.spec import OAuth2

_TOLD = ("provider", "clientID", "clientSecretRef", "privateKeyRef", "issuer", "authorizeURL", "tokenURL", "scopes")
"""The fields of spec.oauth2 that somebody is told about."""


class Datasource(objects.Datasource, frozen=True):
    """A Datasource as kubectl prints it. Of the spec only what is asked for is read: one that nothing fits is listed, too."""

    @classmethod
    def read(cls, raw: object) -> "Datasource":
        """One as a watch shows it."""
        return msgspec.convert(raw, cls)

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
        return (self.spec.get("tokenSecret") or {}).get("name") or default_token_secret_name(self.metadata.name)

    @property
    def url(self) -> str:
        """What the credential is for."""
        return str(self.spec.get("url", ""))

    @property
    def contact(self) -> str:
        """Whom to ask, as the spec says."""
        display = self.spec.get("display")
        contact = display.get("contact") if isinstance(display, dict) else None
        return contact if isinstance(contact, str) else ""

    @property
    def is_suspended(self) -> bool:
        """Whether the spec asks for neither refreshes nor links."""
        return self.spec.get("suspend") is True

    @property
    def oauth2(self) -> "OAuth2 | None":
        """`spec.oauth2`, as far as a person has to be told about it; what a newer cluster adds is passed over."""
        from datasource.api.spec import OAuth2  # Few commands need it, and it takes a while to import.

        written = self.spec.get("oauth2")
        if written is None:
            return None
        return msgspec.convert({name: written[name] for name in _TOLD if written.get(name) is not None}, OAuth2)


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
