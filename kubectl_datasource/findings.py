"""What the survey found, and what can be read from it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from datasource.api.clock import parse_rfc3339
from datasource.api.names import credential_secret_name, redirect_uri
from datasource.api.objects import Lease
from kubectl_datasource.installation import ConfigMap, Container, Deployment
from kubectl_datasource.objects import Datasource
from kubectl_datasource.pods import Pod
from kubectl_datasource.rights import ACCOUNTS, Review

TOLERATED_SKEW = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Untold:
    """Something that could not be learnt, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Untrusted(Untold):
    """It answers, and this machine does not trust its certificate; others may."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, without its body."""

    status: int
    headers: Mapping[str, str]
    """Names in small letters."""
    skew: timedelta | None = None
    """How far the answering clock is ahead of this one."""


@dataclass(frozen=True, slots=True)
class OtherInstallation:
    """Another one in this cluster, by its Lease."""

    lease: Lease
    served: tuple[str, ...] | None
    """Its DATASOURCE_NAMESPACES; empty: all. None: that could not be learnt."""


class SentTest(msgspec.Struct, frozen=True):
    """What came of a test message, as the operator's pod prints it."""

    delivered: bool
    receiver: str = ""
    id: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything that was looked at. Untold is what could not be."""

    now: datetime
    system_namespace: str
    plugin_version: str = ""
    kubernetes: str | Untold = Untold("not asked")
    api_versions: tuple[str, ...] | Untold = Untold("not asked")
    api_skew: timedelta | Untold = Untold("not asked")
    deployments: tuple[Deployment, ...] | Untold = Untold("not asked")
    config_maps: tuple[ConfigMap, ...] | Untold = Untold("not asked")
    lease: Lease | Untold | None = Untold("not asked")
    others: tuple[OtherInstallation, ...] | Untold = Untold("not asked")
    reviews: tuple[Review, ...] | Untold = Untold("not asked")
    policies: frozenset[str] | Untold = Untold("not asked")
    bindings: frozenset[str] | Untold = Untold("not asked")
    datasources: tuple[Datasource, ...] | Untold = Untold("not asked")
    callback: Answer | Untold | None = None
    pods: tuple[Pod, ...] | Untold = Untold("not asked")
    groups: frozenset[str] | Untold = Untold("not asked")
    """The API groups that are served."""
    may_install: tuple[Review, ...] | Untold = ()
    """What whoever asks may do, of what an installation takes."""
    test_message: SentTest | Untold | None = None
    """None: nobody asked for one."""


def settings_of(survey: Survey) -> Mapping[str, str] | Untold:
    """The DATASOURCE_ variables that the processes were installed with."""
    if isinstance(survey.config_maps, Untold):
        return survey.config_maps
    maps = {each.metadata.name: each.data for each in survey.config_maps}
    deployments = () if isinstance(survey.deployments, Untold) else survey.deployments
    for deployment in deployments:
        return _environment(deployment.container, maps)
    ours = [data for name, data in maps.items() if name.startswith("datasource-config")]
    if len(ours) == 1:
        return ours[0]
    return Untold(f"no Deployment and not one ConfigMap datasource-config-... in namespace {survey.system_namespace}")


def external_url_of(survey: Survey) -> str | None:
    """Where the callback server should be: as installed, or else as a redirect URI in a status says."""
    settings = settings_of(survey)
    installed = "" if isinstance(settings, Untold) else settings.get("DATASOURCE_EXTERNAL_URL", "").rstrip("/")
    if installed:
        return installed
    for datasource in datasources_seen(survey):
        uri = datasource.status.redirect_uri or ""
        for end in redirect_uris("", datasource):
            if uri.endswith(end):
                return uri.removesuffix(end)
    return None


def redirect_uris(url: str, datasource: Datasource) -> tuple[str, str]:
    """Those that a Datasource may have: one of its own (spec.oauth2.redirectURI), or the one of its namespace."""
    place = datasource.metadata
    return redirect_uri(url, place.namespace, place.name), redirect_uri(url, place.namespace)


def served_namespaces(survey: Survey) -> tuple[str, ...]:
    """DATASOURCE_NAMESPACES; empty: all."""
    settings = settings_of(survey)
    return () if isinstance(settings, Untold) else named_namespaces(settings)


def named_namespaces(settings: Mapping[str, str]) -> tuple[str, ...]:
    """DATASOURCE_NAMESPACES among the settings of an installation; empty: all."""
    return tuple(name.strip() for name in settings.get("DATASOURCE_NAMESPACES", "").split(",") if name.strip())


def served_by_both(survey: Survey, other: OtherInstallation) -> tuple[str, ...] | None:
    """The namespaces that both installations serve, as far as they are named; None where it cannot be told."""
    if other.served is None or isinstance(settings_of(survey), Untold):
        return None
    ours = served_namespaces(survey)
    if ours and other.served:
        return tuple(sorted({*ours} & {*other.served}))
    return ours or other.served or ("all namespaces",)


def is_fresh(lease: Lease, survey: Survey) -> bool:
    """Whether somebody holds a Lease and renews it."""
    age = age_of(lease, survey)
    seconds = lease.spec.lease_duration_seconds or 15
    # A minute's grace: the operator's clock and the API server's are two.
    return bool(lease.spec.holder_identity) and age is not None and age < timedelta(seconds=seconds) + TOLERATED_SKEW


def age_of(lease: Lease, survey: Survey) -> timedelta | None:
    """How long ago it was renewed, by the API server's clock."""
    if lease.spec.renew_time is None:
        return None
    skew = timedelta(0) if isinstance(survey.api_skew, Untold) else survey.api_skew
    return survey.now + skew - parse_rfc3339(lease.spec.renew_time)


def service_account(survey: Survey, component: str) -> str:
    """The ServiceAccount of a component: as its Deployment says, or else by its usual name."""
    deployments = () if isinstance(survey.deployments, Untold) else survey.deployments
    named = [each.spec.template.spec.service_account_name for each in deployments if each.component == component]
    usual = next(account.default_name for account in ACCOUNTS if account.component == component)
    return next((each for each in named if each), usual)


def credentials_to_ask_for(survey: Survey, limit: int) -> list[tuple[str, str]]:
    """Namespace and name of one credential Secret in each served namespace: the rights of a namespace come together."""
    served = served_namespaces(survey)
    found: dict[str, str] = {}
    for datasource in datasources_seen(survey):
        metadata = datasource.metadata
        if not served or metadata.namespace in served:
            found.setdefault(metadata.namespace, credential_secret_name(metadata.name))
    return list(found.items())[:limit]


def _environment(container: Container, maps: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    from_maps: dict[str, str] = {}
    for source in container.env_from:
        if source.config_map_ref is not None:
            from_maps |= maps.get(source.config_map_ref.name, {})
    return from_maps | {each.name: each.value for each in container.env}


def datasources_seen(survey: Survey) -> tuple[Datasource, ...]:
    return () if isinstance(survey.datasources, Untold) else survey.datasources
