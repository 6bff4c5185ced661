"""`doctor`: what the survey found, judged. Pure; `survey.py` asks."""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from urllib.parse import urlsplit

from datasource.api.names import VERSION, redirect_uri
from datasource.api.objects import Lease
from datasource.process.installation import OLDEST_KUBERNETES
from kubectl_datasource.checks import Check, Verdict, several
from kubectl_datasource.findings import (
    TOLERATED_SKEW,
    Answer,
    Survey,
    Untold,
    Untrusted,
    age_of,
    datasources_seen,
    external_url_of,
    is_fresh,
    redirect_uris,
    served_by_both,
    service_account,
    settings_of,
)
from kubectl_datasource.installation import POLICIES, Deployment
from kubectl_datasource.journal_check import journals_are_kept
from kubectl_datasource.name_clash import names_are_clear
from kubectl_datasource.notification_check import notifications_arrive
from kubectl_datasource.pods import why_not_ready
from kubectl_datasource.reached import providers_are_reachable
from kubectl_datasource.rights import ACCOUNTS
from kubectl_datasource.sign_in_check import people_can_sign_in
from kubectl_datasource.words import duration

_INSTALL = "Apply the overlay, or the chart, again: docs/admin.md."
_GIVEN_BY_OPERATOR = (
    f"{_INSTALL} The operator gives the rights on Secrets by name. If they stay missing, its logs say why."
)
_SET_URL = "Set it to the public URL of the callback server: https:// (http:// on loopback only)."
_SERVE_APART = "Remove one installation, or name different namespaces in DATASOURCE_NAMESPACES of each."
_LOOK_AT_OPERATOR = "Check that the operator runs and reaches the API server. Its logs say why not."


def examine(survey: Survey) -> list[Check]:
    """All checks, in the order in which a broken installation is best mended."""
    return [
        kubernetes_is_new_enough(survey),
        datasources_are_served(survey),
        *processes_are_ready(survey),
        somebody_leads(survey),
        *other_installations_are_apart(survey),
        *rights_are_given(survey),
        policies_are_there(survey),
        *journals_are_kept(survey),
        *people_can_sign_in(survey),
        *notifications_arrive(survey),
        external_url_fits(survey),
        callback_server_answers(survey),
        *clocks_agree(survey),
        *providers_are_reachable(survey),
        *names_are_clear(survey),
    ]


def kubernetes_is_new_enough(survey: Survey) -> Check:
    """Against the oldest version that deploy/ works on."""
    name = "Kubernetes version"
    if isinstance(survey.kubernetes, Untold):
        return Check(name, Verdict.UNKNOWN, survey.kubernetes.why)
    found = re.match(r"v?(\d+)\.(\d+)", survey.kubernetes)
    oldest = ".".join(str(part) for part in OLDEST_KUBERNETES)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_KUBERNETES:
        return Check(name, Verdict.FAILED, survey.kubernetes, f"Upgrade the cluster: {oldest} or newer is needed.")
    return Check(name, Verdict.OK, f"{survey.kubernetes} ({oldest} or newer is needed)")


def datasources_are_served(survey: Survey) -> Check:
    """The CRD, as discovery shows it."""
    name = "Datasource API"
    match survey.api_versions:
        case Untold(why=why):
            return Check(name, Verdict.UNKNOWN, why)
        case versions if VERSION in versions:
            return Check(name, Verdict.OK, f"served: {', '.join(versions)}")
        case versions:
            found = f"served: {', '.join(versions)}, not {VERSION}" if versions else "the CRD is not installed"
            return Check(name, Verdict.FAILED, found, _INSTALL)


def processes_are_ready(survey: Survey) -> Iterator[Check]:
    """Both Deployments, by their labels."""
    for account in ACCOUNTS:
        name = account.component.replace("-", " ").capitalize()
        if isinstance(survey.deployments, Untold):
            yield Check(name, Verdict.UNKNOWN, survey.deployments.why)
            continue
        found = [each for each in survey.deployments if each.component == account.component]
        if found:
            yield from (_readiness(name, each, survey) for each in found)
        elif _runs_elsewhere(account.component, survey):
            yield Check(
                name,
                Verdict.WARNING,
                f"no Deployment in {survey.system_namespace}, but it works: it runs outside of this namespace",
            )
        else:
            yield Check(
                name,
                Verdict.FAILED,
                f"no Deployment with the label app.kubernetes.io/component={account.component} in namespace "
                f"{survey.system_namespace}",
                f"{_INSTALL} If it runs in another namespace, name that with --system-namespace.",
            )


def somebody_leads(survey: Survey) -> Check:
    """The Lease, and how fresh it is by the API server's clock."""
    name = "Lease"
    match survey.lease:
        case Untold(why=why):
            return Check(name, Verdict.UNKNOWN, why)
        case None:
            return Check(name, Verdict.FAILED, "there is none: no operator ever led", _LOOK_AT_OPERATOR)
        case lease:
            pass
    holder, age = lease.spec.holder_identity, age_of(lease, survey)
    if not holder or age is None:
        return Check(
            name,
            Verdict.FAILED,
            "no operator holds it: none works",
            _LOOK_AT_OPERATOR,
        )
    if is_fresh(lease, survey):
        return Check(name, Verdict.OK, f"held by {holder}, renewed {duration(max(age, timedelta(0)))} ago")
    return Check(
        name,
        Verdict.FAILED,
        f"held by {holder}, but not renewed for {duration(age)}: no operator works",
        _LOOK_AT_OPERATOR,
    )


def other_installations_are_apart(survey: Survey) -> Iterator[Check]:
    """Two over one namespace write over each other's links. A Lease that somebody renews tells of each."""
    name = "Other installations"
    if isinstance(survey.others, Untold):
        yield Check(name, Verdict.UNKNOWN, survey.others.why)
        return
    others = [each for each in survey.others if is_fresh(each.lease, survey)]
    if not others:
        yield Check(name, Verdict.OK, "none works here")
    for other in others:
        where = f"one works in namespace {other.lease.metadata.namespace}"
        match served_by_both(survey, other):
            case None:
                yield Check(name, Verdict.WARNING, f"{where}; it is unknown which Datasources it serves", _SERVE_APART)
            case ():
                yield Check(name, Verdict.OK, f"{where}, for other namespaces")
            case both:
                yield Check(
                    name, Verdict.FAILED, f"{where}, and serves Datasources of {', '.join(both)} too", _SERVE_APART
                )


def rights_are_given(survey: Survey) -> Iterator[Check]:
    """What the API server says of each right."""
    for account in ACCOUNTS:
        name = f"Rights of the {account.component.replace('-', ' ')}"
        if isinstance(survey.reviews, Untold):
            yield Check(name, Verdict.UNKNOWN, survey.reviews.why)
            continue
        own = [
            each for each in survey.reviews if each.spec.user.endswith(f":{service_account(survey, account.component)}")
        ]
        missing = [str(each.spec.resource_attributes) for each in own if not each.status.allowed]
        if missing:
            yield Check(name, Verdict.FAILED, f"missing: {several(missing)}", _GIVEN_BY_OPERATOR)
        else:
            yield Check(name, Verdict.OK, f"all {len(own)} are given")


def policies_are_there(survey: Survey) -> Check:
    """The admission policies and their bindings."""
    name = "Admission policies"
    if isinstance(survey.policies, Untold):
        return Check(name, Verdict.UNKNOWN, survey.policies.why)
    if isinstance(survey.bindings, Untold):
        return Check(name, Verdict.UNKNOWN, survey.bindings.why)
    missing = [policy for policy in POLICIES if policy not in survey.policies or policy not in survey.bindings]
    if missing:
        return Check(name, Verdict.FAILED, f"missing, or not bound with Deny: {several(missing)}", _INSTALL)
    return Check(name, Verdict.OK, f"all {len(POLICIES)} are there, and bound with Deny")


def external_url_fits(survey: Survey) -> Check:
    """What is installed against what the operator writes into statuses."""
    name = "External URL"
    settings = settings_of(survey)
    if isinstance(settings, Untold):
        return Check(name, Verdict.UNKNOWN, settings.why)
    url = settings.get("DATASOURCE_EXTERNAL_URL", "").rstrip("/")
    if not url and survey.deployments == () and _runs_elsewhere("callback-server", survey):
        return Check(
            name, Verdict.OK, f"{external_url_of(survey)}, as statuses say: nothing is installed in this cluster"
        )
    if not url:
        return Check(name, Verdict.FAILED, "DATASOURCE_EXTERNAL_URL is empty", _SET_URL)
    if not _is_public_url(url):
        return Check(name, Verdict.FAILED, f"DATASOURCE_EXTERNAL_URL is {url}", _SET_URL)
    differing = [
        each.place
        for each in datasources_seen(survey)
        if each.status.redirect_uri not in {None, *redirect_uris(url, each)}
    ]
    if differing:
        return Check(
            name,
            Verdict.FAILED,
            f"DATASOURCE_EXTERNAL_URL is {url}, but the redirect URI in the status of {differing[0]} is another"
            + (f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""),
            "Restart both Deployments, so that they use the new setting. If you changed the URL on purpose, register the new "
            "redirect URIs with the services. If another installation serves that namespace, too (kubectl get leases -A), "
            "remove one, or name different namespaces in DATASOURCE_NAMESPACES of each.",
        )
    return Check(
        name, Verdict.OK, f"{url}; redirect URIs to register: {redirect_uri(url, 'NAMESPACE')}, or as each status says"
    )


OUR_HEADERS = {
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
}
"""Part of what every answer of the callback server carries: how it is told from a proxy's own pages."""


def callback_server_answers(survey: Survey) -> Check:
    """Over the way that browsers take; from here, though."""
    name = "Callback URL"
    match survey.callback:
        case None:
            return Check(name, Verdict.UNKNOWN, "no external URL is known: give it with --external-url")
        case Untrusted(why=why):
            return Check(
                name,
                Verdict.WARNING,
                f"from here: {why}",
                "Where the browsers of those who authorize trust its authority, all is well; else give it another certificate.",
            )
        case Untold(why=why):
            return Check(
                name, Verdict.FAILED, f"from here: {why}", "Look at DNS, the Ingress or route, and its certificate."
            )
        case answer:
            pass
    if any(answer.headers.get(header) != value for header, value in OUR_HEADERS.items()):
        return Check(
            name,
            Verdict.FAILED,
            f"something else answers there, with status {answer.status}",
            "Route /authorize, /callback and /done below the external URL to the Service datasource-callback-server. Keep path "
            "and Host unchanged, and put no sign-in proxy before it.",
        )
    if answer.status >= 500:
        return Check(
            name,
            Verdict.FAILED,
            f"it answers with status {answer.status}",
            "Does it reach the API server? Its logs say so.",
        )
    return Check(name, Verdict.OK, "reached from here, and it is the callback server that answers")


def clocks_agree(survey: Survey, of: Sequence[str] = ("API server", "callback server")) -> Iterator[Check]:
    """This clock against others."""
    callback = survey.callback.skew if isinstance(survey.callback, Answer) else None
    skews = {"API server": survey.api_skew, "callback server": callback}
    for whose in of:
        skew = skews[whose]
        name = f"Clock of the {whose}"
        if isinstance(skew, Untold):
            yield Check(name, Verdict.UNKNOWN, skew.why)
        elif skew is None:
            yield Check(name, Verdict.UNKNOWN, "it did not say its time")
        elif abs(skew) > TOLERATED_SKEW:
            direction = "ahead of" if skew > timedelta(0) else "behind"
            yield Check(
                name,
                Verdict.WARNING,
                f"{duration(abs(skew))} {direction} the clock of this machine",
                "Let NTP set them: signatures and expiry times are judged by these clocks.",
            )
        else:
            yield Check(name, Verdict.OK, f"within {duration(TOLERATED_SKEW)} of the clock of this machine")


def _readiness(name: str, deployment: Deployment, survey: Survey) -> Check:
    wanted, ready = deployment.spec.replicas, deployment.status.ready_replicas
    where = f"-n {survey.system_namespace} deployment/{deployment.metadata.name}"
    version = deployment.version or "of an image named by its digest"
    detail = f"{ready} of {wanted} ready, version {version}"
    if wanted == 0:
        return Check(name, Verdict.FAILED, "scaled to 0", f"kubectl scale {where} --replicas=2")
    pods = () if isinstance(survey.pods, Untold) else survey.pods
    cause = why_not_ready(deployment, pods, survey.system_namespace) if ready < wanted else None
    if cause is not None:
        verdict = Verdict.FAILED if ready == 0 else Verdict.WARNING
        return Check(name, verdict, f"{cause.why}; {detail}", cause.remedy)
    if ready == 0:
        return Check(name, Verdict.FAILED, detail, f"kubectl describe {where}; kubectl logs {where}")
    if ready < wanted or deployment.status.updated_replicas < wanted:
        return Check(
            name, Verdict.WARNING, f"{detail}: a rollout is under way, or stuck", f"kubectl rollout status {where}"
        )
    if survey.plugin_version and deployment.version not in {"", survey.plugin_version}:
        return Check(
            name,
            Verdict.WARNING,
            f"{detail}, and this plugin is {survey.plugin_version}",
            "Use a plugin of the same version: others may not know every state.",
        )
    return Check(name, Verdict.OK, detail)


def _runs_elsewhere(component: str, survey: Survey) -> bool:
    if component == "operator":
        return isinstance(survey.lease, Lease) and is_fresh(survey.lease, survey)
    return callback_server_answers(survey).verdict is Verdict.OK


def _is_public_url(url: str) -> bool:
    try:
        split = urlsplit(url)
    except ValueError:
        return False
    return split.scheme == "https" or (split.scheme == "http" and split.hostname in {"localhost", "127.0.0.1", "::1"})
