-- Which actions Argo CD offers for a Datasource. A clear is always acted on; the others need a credential and wait while it is
-- suspended.
local waits = obj.spec.suspend == true or obj.status == nil or obj.status.state ~= "AUTHORIZED"

local actions = {}
actions["clear-credential"] = { ["displayName"] = "Clear credential", ["iconClass"] = "fa fa-fw fa-trash" }
actions["new-credential"] = {
  ["displayName"] = "Get new credential",
  ["iconClass"] = "fa fa-fw fa-key",
  ["disabled"] = waits,
}
actions["refresh"] = { ["displayName"] = "Refresh now", ["iconClass"] = "fa fa-fw fa-refresh", ["disabled"] = waits }
return actions
