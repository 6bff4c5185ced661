"""What an object holds in memory, directly or by way of others."""

import gc
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType

_CODE = (type, ModuleType, FunctionType, BuiltinFunctionType)
"""Not followed: code leads to everything there is."""


def reachable(root: object) -> Iterator[object]:
    """Every object that `root` keeps alive; frames of tracebacks and their variables are among them."""
    known, waiting = {id(root)}, [root]
    while waiting:
        found = waiting.pop()
        yield found
        for each in gc.get_referents(found):
            if id(each) not in known and not isinstance(each, _CODE):
                known.add(id(each))
                waiting.append(each)


def texts_in(root: object) -> str:
    """All texts and bytes that `root` keeps alive, to look for one that it should not."""
    found = (each for each in reachable(root) if isinstance(each, str | bytes))
    return "\n".join(each if isinstance(each, str) else each.decode(errors="replace") for each in found)
