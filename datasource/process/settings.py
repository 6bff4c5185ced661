"""Settings of both processes, read from the environment; one place for their names."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from datasource.outbound.egress import EgressPolicy, InvalidRule, Rules, rules
from datasource.outbound.endpoint import split_url
from datasource.outbound.proxies import InvalidProxy, Proxies, proxies_in
from datasource.process.branding import (
    DARK_PAPER,
    LIGHT_PAPER,
    Branding,
    Unusable,
    checked_colour,
    checked_logo,
    parse_texts,
)
from datasource.process.external_url import UnusableURL, checked_external_url
from datasource.process.installation import SYSTEM_NAMESPACE
from datasource.process.sign_in import SignIn, UnusableSignIn, sign_in_in

T = TypeVar("T")


class InvalidSettings(Exception):
    """A variable of the environment is missing or wrong; names it and the remedy."""


LogFormat = Literal["json", "text"]


class Notify(msgspec.Struct, frozen=True):
    """Where to tell that a person is needed, or that a grant is about to end."""

    url: str
    secret_file: Path
    """Read anew for each round: a mounted Secret is swapped."""

    @property
    def host(self) -> str:
        """The only host that notifications go to."""
        split = split_url(self.url)
        return "" if split is None else split.hostname or ""


class Settings(msgspec.Struct, frozen=True):
    """What a platform team decides at installation.

    `external_url` has no trailing slash; it may have a path prefix. No `namespaces` means all of them.
    """

    external_url: str
    system_namespace: str
    namespaces: tuple[str, ...] = ()
    allow_insecure_http: bool = False
    log_format: LogFormat = "json"
    kubeconfig: str | None = None
    egress: EgressPolicy = EgressPolicy()
    """Where requests to providers may go."""
    proxies: Proxies = Proxies()
    require_allowed_hosts: bool = False
    """Whether a client Secret must say to which hosts it may be sent."""
    pod_uid: str | None = None
    """From the downward API: a process that was restarted in its pod knows the refresh that its predecessor left."""
    revocation_patience: timedelta = timedelta(minutes=5)
    """How long a revocation is tried again: a namespace that is being deleted must not wait for ever."""
    last_try_after: timedelta = timedelta(minutes=3)
    """How long a refresh token that was refused after a lost answer rests before it is sent for the last time."""
    rights_outlive_namespaces: bool = True
    """Whether the operator's rights come from a ClusterRole; no variable: the API server tells."""
    callback_server_account: str = "datasource-callback-server"
    """The ServiceAccount of the callback server, in the system namespace: the operator gives it rights."""
    metrics_per_object: bool = True
    """Whether each Datasource has series of its own, with its name and namespace in the labels."""
    branding: Branding = Branding()
    notify: Notify | None = None
    """None: nobody is notified."""
    journal: str | None = None
    """A directory that outlives the process, in which replies are written down before they are stored; None: nowhere."""
    sign_in: SignIn | None = None
    """How people sign in; None: nobody does, and whoever has a link may use it."""

    @property
    def signs_in(self) -> bool:
        """Whether people sign in at the callback server: then links have no ticket, and `audit` tells who did what."""
        return self.sign_in is not None


def settings_in(environ: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises:
        InvalidSettings: with the variable and the remedy.
    """
    return Settings(
        external_url=_external_url(environ),
        system_namespace=environ.get("DATASOURCE_SYSTEM_NAMESPACE") or SYSTEM_NAMESPACE,
        namespaces=tuple(name.strip() for name in environ.get("DATASOURCE_NAMESPACES", "").split(",") if name.strip()),
        allow_insecure_http=_switch(environ, "DATASOURCE_ALLOW_INSECURE_HTTP"),
        log_format=_log_format(environ),
        kubeconfig=environ.get("KUBECONFIG") or None,
        egress=EgressPolicy(
            allowed=_rules(environ, "DATASOURCE_EGRESS_ALLOW"), denied=_rules(environ, "DATASOURCE_EGRESS_DENY")
        ),
        proxies=_proxies(environ),
        require_allowed_hosts=_switch(environ, "DATASOURCE_REQUIRE_ALLOWED_HOSTS"),
        pod_uid=environ.get("DATASOURCE_POD_UID") or None,
        revocation_patience=_seconds(environ, "DATASOURCE_REVOCATION_SECONDS", default=300),
        last_try_after=_seconds(environ, "DATASOURCE_LAST_TRY_SECONDS", default=180),
        callback_server_account=environ.get("DATASOURCE_CALLBACK_SERVER_ACCOUNT") or "datasource-callback-server",
        metrics_per_object=_switch(environ, "DATASOURCE_METRICS_PER_OBJECT", default="true"),
        branding=Branding(
            name=_line(environ, "DATASOURCE_INSTALLATION_NAME"),
            cluster_name=_line(environ, "DATASOURCE_CLUSTER_NAME"),
            support_address=_line(environ, "DATASOURCE_SUPPORT_ADDRESS"),
            logo=_branded(environ, "DATASOURCE_LOGO", checked_logo),
            accent=_branded(environ, "DATASOURCE_COLOR", lambda colour: checked_colour(colour, LIGHT_PAPER)),
            accent_dark=_branded(environ, "DATASOURCE_COLOR_DARK", lambda colour: checked_colour(colour, DARK_PAPER)),
            texts=_branded(environ, "DATASOURCE_TEXTS", parse_texts),
        ),
        notify=_notify(environ),
        journal=environ.get("DATASOURCE_JOURNAL") or None,
        sign_in=_sign_in(environ),
    )


def _notify(environ: Mapping[str, str]) -> Notify | None:
    name, secret = "DATASOURCE_NOTIFY_URL", "DATASOURCE_NOTIFY_SECRET_FILE"
    url, secret_file = environ.get(name) or "", environ.get(secret) or ""
    if not url and not secret_file:
        return None
    split = split_url(url)
    is_url = split is not None and split.hostname and split.scheme in {"http", "https"}
    if not url or split is None or not is_url or split.username is not None or "#" in url:
        # Not what it is: whoever has the URL of a webhook may often use it.
        raise InvalidSettings(
            f"{name} must be the URL of a receiver, such as https://alerts.example.com/hook, without a login."
        )
    if split.scheme == "http" and not _stays_near(split.hostname or ""):
        raise InvalidSettings(
            f"{name} must be https:// (http:// is for loopback and for Services such as x.y.svc only)."
        )
    if not secret_file:
        raise InvalidSettings(f"{secret} must name the file with the key that notifications are signed with.")
    return Notify(url, Path(secret_file))


def _sign_in(environ: Mapping[str, str]) -> SignIn | None:
    try:
        return sign_in_in(environ, allow_insecure_http=_switch(environ, "DATASOURCE_ALLOW_INSECURE_HTTP"))
    except UnusableSignIn as error:
        raise InvalidSettings(str(error)) from None


def _stays_near(host: str) -> bool:
    return host in {"localhost", "127.0.0.1", "::1"} or host.endswith((".svc", ".svc.cluster.local"))


def _external_url(environ: Mapping[str, str]) -> str:
    name = "DATASOURCE_EXTERNAL_URL"
    try:
        return checked_external_url(environ.get(name, ""))
    except UnusableURL as error:
        raise InvalidSettings(f"{name} {error}") from None


def _switch(environ: Mapping[str, str], name: str, *, default: str = "false") -> bool:
    value = environ.get(name, "").lower() or default
    if value not in {"true", "false"}:
        raise InvalidSettings(f"{name} must be true or false; it is {value!r}.")
    return value == "true"


_LONGEST_LINE = 128


def _line(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").strip()
    if not value.isprintable() or len(value) > _LONGEST_LINE:
        raise InvalidSettings(f"{name} must be one line of at most {_LONGEST_LINE} printable characters.")
    return value


def _branded(environ: Mapping[str, str], name: str, checked: Callable[[str], T]) -> T:
    try:
        return checked(environ.get(name, "").strip())
    except Unusable as error:
        raise InvalidSettings(f"{name} {error}") from None


def _seconds(environ: Mapping[str, str], name: str, *, default: int) -> timedelta:
    value = environ.get(name) or str(default)
    if not (value.isascii() and value.isdecimal() and 1 <= len(value) <= 6):
        raise InvalidSettings(f"{name} must be a number of seconds, such as {default}; it is {value!r}.")
    return timedelta(seconds=int(value))


def _rules(environ: Mapping[str, str], name: str) -> Rules:
    entries = (entry.strip() for entry in environ.get(name, "").split(","))
    try:
        return rules(entry for entry in entries if entry)
    except InvalidRule as error:
        raise InvalidSettings(
            f"{name} must list hosts (login.corp.example), endings (.corp.example), addresses, networks (10.20.0.0/16) or "
            f"the word private, with commas between; it has {str(error)!r}."
        ) from None


def _proxies(environ: Mapping[str, str]) -> Proxies:
    try:
        return proxies_in(environ)
    except InvalidProxy as error:
        raise InvalidSettings(str(error)) from None


def _log_format(environ: Mapping[str, str]) -> LogFormat:
    value = environ.get("DATASOURCE_LOG_FORMAT") or "json"
    formats: dict[str, LogFormat] = {"json": "json", "text": "text"}
    if value in formats:
        return formats[value]
    raise InvalidSettings(f"DATASOURCE_LOG_FORMAT must be json or text; it is {value!r}.")


def listen_address(environ: Mapping[str, str], name: str, *, default: str) -> tuple[str, int]:
    """Read `host:port` to listen on.

    Raises:
        InvalidSettings: with the variable and the remedy.
    """
    value = environ.get(name) or default
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise InvalidSettings(f"{name} must be host:port, such as {default}; it is {value!r}.")
    return host.strip("[]"), int(port)
