"""`check --pre`: what can be known before anything is installed, judged. Pure; `survey.py` asks."""

from dataclasses import replace

from kubectl_datasource.checks import Check, Verdict, several
from kubectl_datasource.doctor import clocks_agree, kubernetes_is_new_enough, other_installations_are_apart
from kubectl_datasource.findings import Survey, Untold
from kubectl_datasource.name_clash import names_are_clear


def examine_before(survey: Survey) -> list[Check]:
    """What can be known before anything is installed."""
    return [
        kubernetes_is_new_enough(survey),
        nothing_is_installed_yet(survey),
        *other_installations_are_apart(survey),
        policies_can_be_enforced(survey),
        you_may_install(survey),
        *clocks_agree(replace(survey, callback=None), ("API server",)),
        *names_are_clear(survey),
    ]


def nothing_is_installed_yet(survey: Survey) -> Check:
    """A CRD that is there already stays; an installation upgrades it."""
    name = "Datasource API"
    if isinstance(survey.api_versions, Untold):
        return Check(name, Verdict.UNKNOWN, survey.api_versions.why)
    served = ", ".join(survey.api_versions)
    return Check(name, Verdict.OK, f"served already: {served}; installing upgrades it" if served else "not there yet")


def policies_can_be_enforced(survey: Survey) -> Check:
    """ValidatingAdmissionPolicies are what bounds the operator's rights."""
    name = "Admission policies"
    if isinstance(survey.groups, Untold):
        return Check(name, Verdict.UNKNOWN, survey.groups.why)
    if "admissionregistration.k8s.io" in survey.groups:
        return Check(name, Verdict.OK, "this cluster can enforce them")
    return Check(
        name, Verdict.FAILED, "this cluster does not serve admissionregistration.k8s.io", "Upgrade the cluster."
    )


def you_may_install(survey: Survey) -> Check:
    """The rights of whoever asks."""
    name = "Your rights"
    if isinstance(survey.may_install, Untold):
        return Check(name, Verdict.UNKNOWN, survey.may_install.why)
    missing = [str(each.spec.resource_attributes) for each in survey.may_install if not each.status.allowed]
    if missing:
        return Check(name, Verdict.FAILED, f"missing: {several(missing)}", "Ask a cluster administrator to install it.")
    return Check(name, Verdict.OK, "they are enough for an installation")
