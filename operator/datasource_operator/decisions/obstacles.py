"""What a live look found in the way, or the API server with its refusal. Pure."""

from dataclasses import replace

from datasource.api.names import LONGEST_NAME, Role, credential_secret_name
from datasource.api.states import Reason
from datasource_operator.decisions.observed import Finding, Observed, Refusal, Surroundings
from datasource_operator.decisions.steps import DeleteTokenSecret, LookForTokenSecret, Step, WriteTokenSecret


def secrets_forbidden(namespace: str, words: str = "") -> Finding:
    """The operator's rights do not reach this namespace's Secrets."""
    said = f" The API server says: {words}." if words else ""
    return Finding(
        Reason.SECRETS_FORBIDDEN,
        f"The operator may not read or write Secrets in namespace {namespace}. "
        f"Give its ServiceAccount the rights of deploy/ there (RoleBinding datasource-operator).{said}",
    )


def config_maps_forbidden(namespace: str) -> Finding:
    """The operator's rights do not reach the ConfigMaps that CA bundles are in. The reason is that for Secrets."""
    return Finding(
        Reason.SECRETS_FORBIDDEN,
        f"The operator may not read ConfigMaps in namespace {namespace}, as spec.oauth2.caBundleRef asks. "
        "Give its ServiceAccount the rights of deploy/ there (RoleBinding datasource-operator).",
    )


def immutable_secret(name: str, namespace: str, *, is_credential: bool) -> Finding:
    """The API server will not let us write into a Secret of ours. Nobody can take `immutable` back."""
    remedy = (
        "Do not delete it permanently: it holds the tokens. Create it again without that field: "
        f"kubectl get secret {name} -n {namespace} -o json | jq 'del(.immutable, .metadata.uid, .metadata.resourceVersion)' "
        "| kubectl replace --force -f -. If spec.deletionPolicy is Revoke, set it to Delete first."
        if is_credential
        else "Delete it: the operator creates it again."
    )
    return Finding(Reason.SECRET_CONFLICT, f"Secret {name} cannot be written: it was made immutable. {remedy}")


def secret_conflict(name: str, role: Role, holder: str | None = None) -> Finding:
    """A name we need is taken; by which Datasource, where it is one."""
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
    """It has our annotations, and somebody else wrote it: kubectl, a replicator, GitOps, a restore."""
    return Finding(
        Reason.SECRET_CONFLICT,
        f"Secret {name} is a copy of a token Secret, not made by the operator; it was not touched. Delete it, and the "
        "operator makes the token Secret again; or choose another name in spec.tokenSecret.name.",
    )


def secret_lost_its_annotations(name: str) -> Finding:
    """We wrote it, and its owner still says so. Without its annotations it is no Secret that we write or delete."""
    return Finding(
        Reason.SECRET_CONFLICT,
        f"Secret {name} has lost its annotations of datasource.dev, so the operator no longer writes or deletes it. It may "
        "hold a token. Delete it: where apps should have a token, the operator makes it again.",
    )


def secret_has_another_type(name: str) -> Finding:
    """Ours, of a type that spec.tokenSecret does not name: the type of a Secret never changes."""
    return Finding(
        Reason.SECRET_CONFLICT,
        f"Secret {name} has another type than spec.tokenSecret.type says, and the type of a Secret cannot change. Choose "
        "another name in spec.tokenSecret.name, which apps mount then; or delete the Secret, and the operator makes it again.",
    )


_MOST_NAMED = 5
_LONGEST_NAME = 317
"""Finalizers, and characters of one (253 of a domain, a slash, 63 of a name): whoever may write a Secret may give it 60,000."""


def secret_is_leaving(name: str, finalizers: tuple[str, ...]) -> Finding:
    """A Secret of ours was deleted, and a finalizer that is not ours keeps it, so no other can be made under that name."""
    more = len(finalizers) - _MOST_NAMED
    named = [each[:_LONGEST_NAME] for each in finalizers[:_MOST_NAMED]] + ([f"and {more} more"] if more > 0 else [])
    return Finding(
        Reason.SECRET_CONFLICT,
        f"Secret {name} was deleted, but a finalizer keeps it: {', '.join(named)}. The owner of that finalizer has to "
        f"remove it. Until then nothing can be stored under that name. To see it: kubectl get secret {name} "
        "-o jsonpath='{.metadata.finalizers}'.",
    )


def refused(step: Step, seen: Observed, refusal: Refusal) -> Observed:
    """What is known after the API server refused a step: the same, with that in the way. Of several the first is told."""
    stood = seen.surroundings or Surroundings()
    kinds = stood.refused | {type(step)}
    if stood.problem is not None:
        return replace(seen, surroundings=replace(stood, refused=kinds))
    name = _concerned(step, seen)
    watched = name if refusal.is_about_immutable_secret or refusal.is_about_type else None
    return replace(seen, surroundings=Surroundings(refused_step(step, name, seen, refusal), watched, kinds))


def _concerned(step: Step, seen: Observed) -> str:
    """The Secret that a step is about."""
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
