"""Which Datasource a path names. Pure."""

from starlette.requests import Request

from callback_server import refusals
from callback_server.signed_in.destinations import NAME, NAMESPACE


def place_of(request: Request) -> tuple[str, str]:
    """Namespace and name.

    Raises:
        Refused: no Datasource can have them.
    """
    namespace, name = request.path_params["namespace"], request.path_params["name"]
    if not NAMESPACE.fullmatch(namespace) or not NAME.fullmatch(name):
        raise refusals.link_has_ended()
    return namespace, name


def named_place(request: Request) -> tuple[str | None, str | None]:
    """Namespace and name that a path names; None for what could be none: limits remember them."""
    namespace, name = request.path_params.get("namespace", ""), request.path_params.get("name", "")
    return (
        namespace if NAMESPACE.fullmatch(namespace) else None,
        name if NAME.fullmatch(name) else None,
    )
