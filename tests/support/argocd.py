"""Lua as Argo CD runs it: Lua 5.1 with the base and table libraries; `require("os")` has `time` and `date`, no global has.

Source: util/lua/lua.go and oslib_safe.go of Argo CD; its `useOpenLibs` is off unless an administrator turns it on.
tests/gitops/test_argocd.py compares it with Argo CD's own machine.
"""

from collections.abc import Mapping
from typing import Any

from lupa import lua51

_SANDBOX = """
getmetatable("").__index = nil
local safe = { time = os.time, date = os.date }
for _, name in ipairs({ "os", "string", "math", "io", "debug", "coroutine", "python" }) do
  _G[name] = nil
  package.loaded[name] = nil
end
package.loaded.os = safe
"""


def run(script: str, obj: Mapping[str, Any]) -> dict[str, Any]:
    """Run a script with a Kubernetes object as `obj`; returns the table that it returned."""
    lua = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
    lua.execute(_SANDBOX)
    lua.globals().obj = lua.table_from(_without_null(obj), recursive=True)
    returned = _to_python(lua.execute(script))
    assert isinstance(returned, dict), f"the script returned {returned!r}"
    return returned


def _without_null(value: Any) -> Any:
    """Without null: a Lua table cannot hold nil."""
    if isinstance(value, Mapping):
        return {key: _without_null(each) for key, each in value.items() if each is not None}
    return [_without_null(each) for each in value] if isinstance(value, list) else value


def _to_python(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return value
    items = [(key, _to_python(each)) for key, each in value.items()]
    if items and [key for key, _ in items] == list(range(1, len(items) + 1)):
        return [each for _, each in items]
    return dict(items)
