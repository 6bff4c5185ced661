"""Findings about obstacles that live reads show, or a refusal of the API server. Pure."""

from dataclasses import replace

from datasource.api.names import LONGEST_NAME, Annotation, Role, credential_secret_name
from datasource.api.states import Reason
from datasource_operator.decisions.observed import Finding, Observed, Refusal, Surroundings
from datasource_operator.decisions.steps import DeleteTokenSecret, LookForTokenSecret, Step, WriteTokenSecret


def secrets_forbidden(namespace: str, words: str = "") -> Finding:
    """The operator has no rights for the Secrets of this namespace. `words` are those of the API server."""
    said = f" The API server says: {words}." if words else ""
    return Finding(
        Reason.SECRETS_FORBIDDEN,
        f"The operator may not read or write Secrets in namespace {namespace}. "
        f"Give its ServiceAccount the rights of deploy/ there (RoleBinding datasource-operator).{said}",
    )


def config_maps_forbidden(namespace: str) -> Finding:
    """The operator has no rights for ConfigMaps, which hold CA bundles. The reason is the same as for Secrets."""
    return Finding(
        Reason.SECRETS_FORBIDDEN,
        f"The operator may not read ConfigMaps in namespace {namespace}, as spec.oauth2.caBundleRef asks. "
        "Give its ServiceAccount the rights of deploy/ there (RoleBinding datasource-operator).",
    )


def immutable_secret(name: str, namespace: str, *, is_credential: bool) -> Finding:
    """A Secret of ours is immutable, so it cannot be written. The field `immutable` cannot be unset."""
    remedy = (
        "Do not delete it permanently: it holds the tokens. Create it again without that field: "
        f"kubectl get secret {name} -n {namespace} -o json | jq 'del(.immutable, .metadata.uid, .metadata.resourceVersion)' "
        "| kubectl replace --force -f -. If spec.deletionPolicy is Revoke, set it to Delete first."
        if is_credential
        else "Delete it: the operator creates it again."
    )
    return Finding(Reason.SECRET_CONFLICT, f"Secret {name} cannot be written: it was made immutable. {remedy}")


def secret_conflict(name: str, role: Role, holder: str | None = None) -> Finding:
    """A foreign Secret has a name that the operator needs. `holder` is the Datasource that it belongs to, if any."""
    if role is Role.TOKEN and holder is not None and len(holder) <= LONGEST_NAME:
        return Finding(
            Reason.SECRET_CONFLICT,
            f"Secret {name} holds the token of Datasource {holder}. Choose another name in spec.tokenSecret.name. Or rename "
            f"the token Secret of {holder}: then this Datasource takes the name.",
        )
    remedy = (
        "Rename or delete it, or choose another name in spec.tokenSecret.name."
        if role is Role.TOKEN
        else "Rename or delete it: the operator needs this name for its tokens."
    )
    return Finding(
        Reason.SECRET_CONFLICT,
        f"Secret {name} already exists and does not belong to this Datasource. The operator did not change it. {remedy}",
    )


def secret_is_a_copy(name: str) -> Finding:
    """A Secret has our annotations, but the operator did not write it: a person, a replicator, GitOps or a restore did."""
    return Finding(
        Reason.SECRET_CONFLICT,
        f"Secret {name} is a copy of a token Secret, not made by the operator; it was not touched. Delete it, and the "
        "operator makes the token Secret again; or choose another name in spec.tokenSecret.name.",
    )


def secret_lost_its_annotations(name: str) -> Finding:
    """The operator wrote a Secret, as its owner reference shows, but its annotations are gone. It is left alone."""
    return Finding(
        Reason.SECRET_CONFLICT,
        f"Secret {name} has lost its annotations of datasource.dev, so the operator no longer writes or deletes it. It may "
        "hold a token. Delete it: where apps should have a token, the operator makes it again.",
    )


def credential_lost_its_annotations(name: str, namespace: str, datasource_name: str) -> Finding:
    """The credential Secret is there, as its type and owner show, but annotations that make it ours are gone."""
    return Finding(
        Reason.SECRET_CONFLICT,
        f"Secret {name} has lost its annotations of datasource.dev, so the operator does not use it. Do not delete it: it "
        f"holds the tokens. Put them back: kubectl annotate secret {name} -n {namespace} --overwrite "
        f"{Annotation.ROLE}={Role.CREDENTIAL} {Annotation.DATASOURCE}={datasource_name}.",
    )


def secret_has_another_type(name: str) -> Finding:
    """A token Secret of ours has another type than spec.tokenSecret. The type of a Secret cannot change."""
    return Finding(
        Reason.SECRET_CONFLICT,
        f"Secret {name} has another type than spec.tokenSecret.type says, and the type of a Secret cannot change. Choose "
        "another name in spec.tokenSecret.name, which apps mount then; or delete the Secret, and the operator makes it again.",
    )


_MOST_NAMED = 5
_LONGEST_NAME = 317
"""Finalizers to name, and characters of one (253 of a domain, a slash, 63 of a name). A Secret may have 60,000 of them."""


def secret_is_leaving(name: str, finalizers: tuple[str, ...]) -> Finding:
    """A Secret of ours was deleted, but a foreign finalizer keeps it. No other Secret can be made under its name."""
    more = len(finalizers) - _MOST_NAMED
    named = [each[:_LONGEST_NAME] for each in finalizers[:_MOST_NAMED]] + ([f"and {more} more"] if more > 0 else [])
    return Finding(
        Reason.SECRET_CONFLICT,
        f"Secret {name} was deleted, but a finalizer keeps it: {', '.join(named)}. The owner of that finalizer has to "
        f"remove it. Until then nothing can be stored under that name. To see it: kubectl get secret {name} "
        "-o jsonpath='{.metadata.finalizers}'.",
    )


def refused(step: Step, seen: Observed, refusal: Refusal) -> Observed:
    """What is known after the API server refused a step. The refusal becomes the problem, unless there is one already."""
    stood = seen.surroundings or Surroundings()
    kinds = stood.refused | {type(step)}
    if stood.problem is not None:
        return replace(seen, surroundings=replace(stood, refused=kinds))
    name = _concerned(step, seen)
    watched = name if refusal.is_about_immutable_secret or refusal.is_about_type else None
    return replace(seen, surroundings=Surroundings(refused_step(step, name, seen, refusal), watched, kinds))


def _concerned(step: Step, seen: Observed) -> str:
    """The name of the Secret that a step is about."""
    match step:
        case WriteTokenSecret():
            return step.plan.name
        case LookForTokenSecret():
            return step.name
        case DeleteTokenSecret():
            return step.stored.name
        case _:
            return credential_secret_name(seen.name)


_LONGEST_WORDS = 1024


def refused_step(step: Step, name: str, seen: Observed, refusal: Refusal) -> Finding:
    """The finding for a step that the API server refused; `name` is the Secret that the step is about."""
    words = refusal.words[:_LONGEST_WORDS]
    if refusal.is_about_rights:
        return secrets_forbidden(seen.namespace, words)
    if refusal.is_about_immutable_secret:
        return immutable_secret(name, seen.namespace, is_credential=name == credential_secret_name(seen.name))
    if refusal.is_about_type:
        return secret_has_another_type(name)
    if refusal.is_forbidden or not isinstance(step, WriteTokenSecret):
        return Finding(
            Reason.SECRETS_FORBIDDEN,
            f"The API server refuses what the operator has to do with Secret {name}. It says: {words}. The operator tries "
            "again every minute.",
        )
    return Finding(
        Reason.INVALID_CONFIGURATION,
        f"The API server does not take Secret {name} as spec.tokenSecret describes it. It says: {words}. Correct "
        "spec.tokenSecret, or ask the owner of that rule.",
    )
