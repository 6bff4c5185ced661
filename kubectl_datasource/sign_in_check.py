"""Whether people can sign in: `doctor`'s look at what the installation says of it. Pure."""

from collections.abc import Iterator, Mapping

from datasource.process.sign_in_variables import CLIENT_ID, ISSUER, SECRET_FILE
from kubectl_datasource.checks import Check, Verdict
from kubectl_datasource.findings import Survey, Untold, settings_of
from kubectl_datasource.installation import Deployment

_HOW = "Set it in the component sign-in, or in signIn of the chart: docs/sign-in.md."
_NAME = "Sign-in"


def people_can_sign_in(survey: Survey) -> Iterator[Check]:
    """Nothing where nobody is to sign in, or where that cannot be seen."""
    settings = settings_of(survey)
    if isinstance(settings, Untold) or not signs_in(settings):
        return
    missing = [name for name in (ISSUER, CLIENT_ID, SECRET_FILE) if not settings.get(name, "").strip()]
    if missing:
        yield Check(_NAME, Verdict.FAILED, f"{' and '.join(missing)} must be set, too", _HOW)
        return
    issuer = settings[ISSUER]
    if not issuer.startswith("https://") and settings.get("DATASOURCE_ALLOW_INSECURE_HTTP", "").strip() != "true":
        yield Check(_NAME, Verdict.FAILED, f"{ISSUER} is {issuer}, which is not https", _HOW)
        return
    without = [each.metadata.name for each in _callback_servers(survey) if not _has_secret(each)]
    if without:
        yield Check(_NAME, Verdict.FAILED, f"{without[0]} has no volume sign-in with the client secret", _HOW)
        return
    url = settings.get("DATASOURCE_EXTERNAL_URL", "").rstrip("/")
    yield Check(_NAME, Verdict.OK, f"people sign in at {issuer}; the redirect URI to register there is {url}/signed-in")


def signs_in(settings: Mapping[str, str]) -> bool:
    """Whether anything is said of sign-in: an empty variable is none."""
    return any(settings.get(name, "").strip() for name in (ISSUER, CLIENT_ID))


def _callback_servers(survey: Survey) -> Iterator[Deployment]:
    deployments = () if isinstance(survey.deployments, Untold) else survey.deployments
    yield from (each for each in deployments if each.component == "callback-server")


def _has_secret(deployment: Deployment) -> bool:
    return any(each.name == "sign-in" for each in deployment.container.volume_mounts)
