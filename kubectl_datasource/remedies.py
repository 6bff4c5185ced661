"""`explain`: for every reason what is wrong, in which field or Secret, and the commands that mend it. Pure."""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace

from datasource.api.names import credential_secret_name
from datasource.api.states import PROVIDER_REACHABLE, Reason
from datasource.process.installation import SYSTEM_NAMESPACE
from kubectl_datasource.advice import (
    Advice,
    Case,
    ClientSecret,
    Command,
    creating,
    editing,
    fields_in,
    replacing,
)
from kubectl_datasource.objects import Datasource

_REQUIRED = ("clientID", "authorizeURL", "tokenURL")
_SECRET = re.compile(r"Secret ([a-z0-9][-a-z0-9.]*[a-z0-9])")


def advice_for(case: Case) -> Advice:
    """What to tell. A reason of a newer operator is passed on as the operator words it."""
    reason = case.datasource.reason
    if not reason:
        return _unseen(case)
    if reason not in set(Reason):
        return Advice(f"This plugin does not know the reason {reason}: it is older than the operator.", fields_in(case))
    advice = ADVICE[Reason(reason)](case)
    return _resuming(case, advice) if case.datasource.is_suspended else advice


def _resuming(case: Case, advice: Advice) -> Advice:
    """Nothing that the operator or a person would do happens before `spec.suspend` is taken back."""
    resume = Command(case.plugin("resume"), "first: refreshes continue, and links are offered again")
    return replace(advice, where=("spec.suspend", *advice.where), commands=(resume, *advice.commands))


def _unseen(case: Case) -> Advice:
    return Advice(
        "The operator has not seen it yet. That takes seconds. If this does not change, the operator does not run, or does "
        "not serve this namespace.",
        commands=(
            Command(shlex.join(["kubectl", "datasource", "doctor", *case.flags]), "shows what is wrong with it"),
        ),
    )


def _authorize(case: Case, *options: str) -> Command:
    return Command(case.plugin("authorize", *options), "opens the link; one person consents at the service")


def _authorized(case: Case) -> Advice:
    link = case.datasource.status.authorization_link
    offered = " A new one is offered. The old one works until a person uses the link." if link else ""
    again = _authorize(case) if link else _authorize(case, "--new")
    return Advice(
        "Nothing is wrong here: a credential is stored. This does not prove that the service accepts it. If calls fail, get a "
        f"new credential.{offered}",
        (f"Secret {case.datasource.token_secret_name}",),
        (Command(again.line, "gets another credential"),),
    )


def _refresh_failing(case: Case) -> Advice:
    then = (
        "but the operator does not try while spec.suspend is true"
        if case.datasource.is_suspended
        else "and the operator tries again by itself"
    )
    return Advice(
        f"The access token expired, and the provider gives no new one. The credential is kept, {then}.",
        ("spec.oauth2.tokenURL",),
        (
            Command(case.plugin("refresh"), "tries once more and prints the result"),
            Command(case.plugin("logs"), "shows what the provider answers; for administrators"),
        ),
    )


def _consent_missing(case: Case) -> Advice:
    reachable = case.datasource.status.condition(PROVIDER_REACHABLE)
    if reachable is not None and reachable.status == "False":
        return Advice(
            "The link is there, but an authorization fails while the operator cannot reach the provider. Correct that first. "
            "Then a person has to open the link and consent.",
            ("spec.oauth2.issuer", "spec.oauth2.tokenURL"),
            (*editing(case), _authorize(case)),
        )
    return Advice("Everything is prepared. A person has to open the link and consent.", (), (_authorize(case),))


def _cleared(case: Case) -> Advice:
    return Advice(
        "The credential was cleared by the annotation datasource.dev/clear-credential. The parameters are kept.",
        (f"Secret {credential_secret_name(case.name)}",),
        (_authorize(case),),
    )


def _parameters_changed(case: Case) -> Advice:
    fields = tuple(f"spec.oauth2.{field}" for field in ("clientID", "issuer", "authorizeURL", "tokenURL"))
    return Advice(
        "One of these fields changed after the credential was obtained. The operator sends tokens only to where they came "
        "from. The credential is kept, unused. Revert the change to use it again, or get a new one.",
        fields,
        (_authorize(case), Command(case.kubectl("edit", "dsrc", case.name), "to revert the change instead")),
    )


def _grant_revoked(case: Case) -> Advice:
    return Advice(
        "The provider no longer accepts the refresh token. The consent was revoked there, or the refresh token expired.",
        (f"Secret {credential_secret_name(case.name)}",),
        (_authorize(case),),
    )


def _token_expired(case: Case) -> Advice:
    commands = [_authorize(case)]
    if "offline_access" not in case.oauth2.scopes:
        scopes = [*case.oauth2.scopes, "offline_access"]
        add = Command(
            case.patch({"oauth2": {"scopes": scopes}}), "first, with OpenID Connect: asks for a refresh token"
        )
        commands.insert(0, add)
    return Advice(
        "The access token expired, and the provider gave no refresh token. The scopes or the application's registration "
        "decide whether it gives one.",
        ("spec.oauth2.scopes",),
        tuple(commands),
    )


def _refresh_interrupted(case: Case) -> Advice:
    return Advice(
        "The answer to a refresh was lost. It contained a new refresh token, and the provider no longer accepts the old one.",
        (f"Secret {credential_secret_name(case.name)}",),
        (_authorize(case),),
    )


def _oauth2_missing(case: Case) -> Advice:
    redirect_uri = case.datasource.status.redirect_uri
    register = f" with the redirect URI {redirect_uri}" if redirect_uri else ""
    filled_in: dict[str, object] = {
        "clientID": "CLIENT_ID",
        "clientSecretRef": {"name": f"{case.name}-app"},
        "authorizeURL": "https://AUTHORIZE_URL",
        "tokenURL": "https://TOKEN_URL",
        "scopes": ["offline_access"],
    }
    return Advice(
        f"There are no OAuth2 parameters yet. Register an application at the service{register}, then fill them in.",
        ("spec.oauth2", "status.redirectURI"),
        (
            creating(case.target, ClientSecret("clientSecretRef", f"{case.name}-app", "client-secret")),
            Command(
                case.patch({"oauth2": filled_in}),
                "with the values that the service gave you; leave out what it did not",
            ),
        ),
    )


def _parameters_incomplete(case: Case) -> Advice:
    values = {
        "clientID": case.oauth2.client_id,
        "authorizeURL": case.oauth2.authorize_url,
        "tokenURL": case.oauth2.token_url,
    }
    placeholders = {"clientID": "CLIENT_ID", "authorizeURL": "https://AUTHORIZE_URL", "tokenURL": "https://TOKEN_URL"}
    # The message knows what the preset or the issuer gives, and what it asks for instead.
    named = [field.removeprefix("spec.oauth2.") for field in fields_in(case)]
    preset = case.oauth2.preset
    asked_for = dict[str, str]() if preset is None else preset.asks_for
    known = {**placeholders, **asked_for}
    missing = [field for field in named if field in known] or [field for field in _REQUIRED if not values[field]]
    patch = case.patch({"oauth2": {field: known[field] for field in missing}})
    fields = tuple(f"spec.oauth2.{field}" for field in missing) or fields_in(case)
    return Advice(
        "Some OAuth2 parameters are missing. The service shows them where you register the application.",
        fields,
        (Command(patch, "with the values that the service gave you"),) if missing else editing(case),
    )


def _client_secret_not_found(case: Case) -> Advice:
    ref = case.client_secret
    if ref is None:
        return Advice("The client Secret is missing.", ("spec.oauth2.clientSecretRef",), editing(case))
    create, add = creating(case.target, ref), replacing(case.target, ref)
    if case.client_secret_exists is None:
        commands: tuple[Command, ...] = (create, add)
    else:
        commands = (add,) if case.client_secret_exists else (create,)
    what = (
        f"Secret {ref.name} is there, but has no value under {ref.key}."
        if case.client_secret_exists
        else f"Secret {ref.name} with the key {ref.key} is missing."
    )
    where = (f"spec.oauth2.{ref.field}", f"Secret {ref.name}, key {ref.key}")
    return Advice(f"{what} The operator notices it within a minute.", where, commands)


def _secret_conflict(case: Case) -> Advice:
    named = _SECRET.search(case.datasource.message)
    secret = case.datasource.token_secret_name if named is None else named[1]
    look = Command(case.kubectl("get", "secret", secret, "--show-labels"), "shows whose it is")
    delete = Command(case.kubectl("delete", "secret", secret), "if it is not needed")
    elsewhere = Command(
        case.patch({"tokenSecret": {"name": f"{case.name}-access-token"}}), "keeps it: apps mount another Secret"
    )
    is_token_secret = secret == case.datasource.token_secret_name
    is_immutable = "immutable" in case.datasource.message
    if is_immutable and not is_token_secret:
        return Advice(
            f"Secret {secret} was made immutable, and it holds the tokens. Do not delete it permanently: create it again "
            "without that field. If spec.deletionPolicy is Revoke, set it to Delete first.",
            (f"Secret {secret}",),
            (look, Command(_made_mutable(case, secret), "keeps the tokens")),
        )
    where = (f"Secret {secret}", *(["spec.tokenSecret.name"] if is_token_secret else []))
    return Advice(
        f"Secret {secret} has a name that this Datasource needs, and cannot be used. The operator did not change it.",
        where,
        (elsewhere, look, delete) if is_token_secret and not is_immutable else (look, delete),
    )


def _made_mutable(case: Case, secret: str) -> str:
    """Nobody can take `immutable` back; the same Secret can be made anew."""
    read, write = case.kubectl("get", "secret", secret, "-o", "json"), case.kubectl("replace", "--force", "-f", "-")
    return f"{read} | jq 'del(.immutable, .metadata.uid, .metadata.resourceVersion)' | {write}"


def _credential_unreadable(case: Case) -> Advice:
    secret = credential_secret_name(case.name)
    return Advice(
        "The credential Secret was edited, or a restore was incomplete. Nothing was overwritten. Restore it from a backup, "
        "or delete it and get a new credential.",
        (f"Secret {secret}",),
        (Command(case.kubectl("delete", "secret", secret), "discards what is in it"), _authorize(case)),
    )


def _client_rejected(case: Case) -> Advice:
    ref = case.client_secret
    where = ("spec.oauth2.clientID", "spec.oauth2.clientAuthentication")
    if ref is None:
        return Advice("The provider does not accept the client ID. The credential is kept.", where, editing(case))
    return Advice(
        "The provider does not accept the client ID and its secret or key. Compare them with the application's "
        "registration. The credential is kept, and used again when they are correct.",
        (*where, f"Secret {ref.name}, key {ref.key}"),
        (replacing(case.target, ref), *editing(case)),
    )


def _invalid_configuration(case: Case) -> Advice:
    return Advice(
        "A field has an invalid value. The message above says how to correct it.", fields_in(case), editing(case)
    )


def _secrets_forbidden(case: Case) -> Advice:
    namespace = case.datasource.metadata.namespace
    account = f"system:serviceaccount:{SYSTEM_NAMESPACE}:datasource-operator"
    can_i = ["kubectl", "auth", "can-i", "get", "secrets", f"--as={account}", "-n", namespace, *case.flags]
    return Advice(
        "The operator may not read or write Secrets in this namespace. The platform team gives it the rights of deploy/. "
        "To do so, it adds the namespace to the overlay that was installed.",
        (f"RoleBinding datasource-operator in namespace {namespace}",),
        (
            Command("kubectl apply --server-side -k deploy/overlays/namespaces", "after adding the namespace there"),
            Command(shlex.join(["kubectl", "datasource", "doctor", *case.flags]), "shows every right that is missing"),
            Command(shlex.join(can_i), "shows whether it works now"),
        ),
    )


ADVICE: Mapping[Reason, Callable[[Case], Advice]] = {
    Reason.AUTHORIZED: _authorized,
    Reason.REFRESH_FAILING: _refresh_failing,
    Reason.AUTHORIZATION_REQUIRED: _consent_missing,
    Reason.CREDENTIAL_CLEARED: _cleared,
    Reason.PARAMETERS_CHANGED: _parameters_changed,
    Reason.GRANT_REVOKED: _grant_revoked,
    Reason.TOKEN_EXPIRED: _token_expired,
    Reason.REFRESH_INTERRUPTED: _refresh_interrupted,
    Reason.OAUTH2_MISSING: _oauth2_missing,
    Reason.PARAMETERS_INCOMPLETE: _parameters_incomplete,
    Reason.CLIENT_SECRET_NOT_FOUND: _client_secret_not_found,
    Reason.SECRET_CONFLICT: _secret_conflict,
    Reason.CREDENTIAL_UNREADABLE: _credential_unreadable,
    Reason.CLIENT_REJECTED: _client_rejected,
    Reason.INVALID_CONFIGURATION: _invalid_configuration,
    Reason.SECRETS_FORBIDDEN: _secrets_forbidden,
}


def reads_client_secret(datasource: Datasource) -> str | None:
    """The Secret whose existence decides what to advise."""
    secret = Case(datasource).client_secret
    return secret.name if secret is not None and datasource.reason == Reason.CLIENT_SECRET_NOT_FOUND else None
