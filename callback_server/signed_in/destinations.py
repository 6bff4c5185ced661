"""Where a sign-in leads to: one of our own pages. It is named by what it shows, and never by a URL. Pure."""

import re
from dataclasses import dataclass
from urllib.parse import quote

from datasource.api.names import FLOW_KEY

NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LIST_OF_ALL = "/datasources"
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Destination:
    """One of our pages: a Datasource, a list of Datasources, the result of an authorization (`done_id`), or the first page."""

    namespace: str | None = None
    name: str | None = None
    done_id: str | None = None
    is_list_of_all: bool = False

    @property
    def path(self) -> str:
        """The path below the external URL. It is built from parsed parts, and not copied from the request."""
        if self.done_id is not None:
            return f"/done/{quote(self.done_id, safe='')}"
        if self.is_list_of_all:
            return LIST_OF_ALL
        if self.namespace is None:
            return "/"
        parts = [part for part in (self.namespace, self.name) if part is not None]
        return "/datasources/" + "/".join(quote(part, safe="") for part in parts)


HOME = Destination()
EVERYTHING = Destination(is_list_of_all=True)


def destination_of(path: str) -> Destination:
    """The page with that path. Any path that is not ours gives the first page.

    A path that browsers read as another host (`//x`, `/\\\\x`, `/%09/x`) is not ours.
    """
    kind, _, rest = path.removeprefix("/").partition("/")
    if path == LIST_OF_ALL:
        return EVERYTHING
    if not path.startswith("/") or len(path) > 512:
        return HOME
    if kind == "done" and FLOW_KEY.fullmatch(rest):
        return Destination(done_id=rest)
    namespace, slash, name = rest.partition("/")
    if kind != "datasources" or not NAMESPACE.fullmatch(namespace):
        return HOME
    if not slash:
        return Destination(namespace)
    return Destination(namespace, name) if NAME.fullmatch(name) else HOME
