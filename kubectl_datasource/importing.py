"""`import`: the Secret that brings a refresh token along, and when it is over. Pure."""

from collections.abc import Callable
from typing import Any

from datasource.api.names import SecretType, import_secret_name
from datasource.api.objects import encoded_data, owner_reference
from datasource.api.states import IMPORT_REFUSALS, IMPORTED, State
from datasource.records.import_secret import KEY
from kubectl_datasource.exits import Exit
from kubectl_datasource.objects import Datasource
from kubectl_datasource.waiting import Ended, Going, is_suspended, state_and_reason, why_not

_BY_IMPORT = frozenset({"import", "unproven"})
"""Who did it, as the history names an import; without link keys nobody can prove that the operator wrote the entry."""


def manifest(datasource: Datasource, refresh_token: str) -> dict[str, Any]:
    """The import Secret. It goes with its Datasource."""
    metadata = datasource.metadata
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": SecretType.IMPORT,
        "metadata": {
            "name": import_secret_name(metadata.name),
            "namespace": metadata.namespace,
            "ownerReferences": [owner_reference(metadata.name, metadata.uid)],
        },
        "data": encoded_data({KEY: refresh_token}),
    }


def not_now(datasource: Datasource) -> Ended | None:
    """Why an import would only wait, or be refused; None where it may begin."""
    name, namespace = datasource.metadata.name, datasource.metadata.namespace
    if datasource.is_suspended:
        return is_suspended(datasource)
    if datasource.status.state == State.AUTHORIZED:
        return Ended(
            Exit.NOT_AS_WANTED,
            f"{datasource.place} has a credential already. To replace it, clear it first: "
            f"kubectl datasource clear {name} -n {namespace}",
        )
    if datasource.status.state in {State.NOT_CONFIGURED, State.ERROR}:
        return Ended(Exit.NOT_AS_WANTED, why_not(datasource))
    return None


def earlier_one_is_gone(datasource: Datasource) -> Going | Ended:
    """Until the status tells of no import any more: what it says of an earlier one must not be taken for this one's end."""
    if datasource.status.condition(IMPORTED) is None:
        return Ended(Exit.FINE, "")
    return Going("waiting until the operator has seen that the earlier import is gone")


def imported(before: Datasource) -> Callable[[Datasource], Going | Ended]:
    """Until the operator and the provider have decided."""

    def judge(datasource: Datasource) -> Going | Ended:
        if datasource.metadata.uid != before.metadata.uid:
            return Ended(Exit.NOT_AS_WANTED, f"{datasource.place} was deleted meanwhile.")
        waiting = datasource.status.condition(IMPORTED)
        if waiting is not None and waiting.reason in IMPORT_REFUSALS:
            return Ended(Exit.NOT_AS_WANTED, _with_ready(datasource, waiting.message))
        if datasource.status.state == State.ERROR:
            return Ended(Exit.NOT_AS_WANTED, why_not(datasource))
        if waiting is not None:
            return Going(f"waiting for the import: {waiting.message} {datasource.message}")
        if datasource.status.state == State.AUTHORIZED and _is_of_an_import(before, datasource):
            return Ended(Exit.FINE, _done(datasource))
        if datasource.reason == "ParametersChanged" and before.reason != datasource.reason:
            # It was proved, and is not used: somebody else stands behind it.
            return Ended(Exit.NOT_AS_WANTED, why_not(datasource))
        return Going(
            f"waiting for the operator to see the import; {datasource.place} is {state_and_reason(datasource)}"
        )

    return judge


def _is_of_an_import(before: Datasource, after: Datasource) -> bool:
    """Whether a token was imported since; a person may have authorized while the operator had not seen the import yet."""
    if after.status.history is None:
        # Its operator keeps none.
        return True
    known = {entry.id for entry in before.status.history or ()}
    return any(entry.id not in known and entry.by in _BY_IMPORT for entry in after.status.history)


def _with_ready(datasource: Datasource, message: str) -> str:
    said = f" {datasource.message}" if datasource.message else ""
    return f"{message}{said}"


def _done(datasource: Datasource) -> str:
    who = "" if datasource.status.authorized_as is None else f" as {datasource.status.authorized_as}"
    return f"{datasource.place} is AUTHORIZED{who}, with the imported refresh token. Use it nowhere else from now on."
