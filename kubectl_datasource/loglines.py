"""`logs NAME`: which lines of both processes are about a Datasource, and how they read. Pure."""

import re
from collections.abc import Callable

import msgspec

from kubectl_datasource.words import printable

_PREFIX = re.compile(r"\[pod/(?P<pod>[^/\]]+)/[^\]]*\] (?P<said>.*)")
_FIRST = ("timestamp", "level", "event")
_UNTOLD = frozenset({*_FIRST, "logger", "datasource"})


def about(namespace: str, name: str) -> Callable[[str], bool]:
    """Whether a line names a Datasource: by its place, or by its namespace and its name apart."""
    place = re.compile(rf"(?<![\w.-]){re.escape(namespace)}/{re.escape(name)}(?![\w-])")

    def judge(line: str) -> bool:
        return place.search(line) is not None

    return judge


def readable(line: str) -> str:
    """A line of JSON as people read it; any other as it is."""
    found = _PREFIX.fullmatch(line.rstrip("\n"))
    pod, said = (found["pod"], found["said"]) if found else ("", line.rstrip("\n"))
    try:
        told = msgspec.json.decode(said.encode(), type=dict[str, object])
    except msgspec.MsgspecError:
        return printable(f"{pod} {said}".strip())
    first = [str(told.get(key, "")) for key in _FIRST]
    rest = [f"{key}={value}" for key, value in told.items() if key not in _UNTOLD]
    return printable(" ".join(each for each in (first[0], pod, *first[1:], *rest) if each))
