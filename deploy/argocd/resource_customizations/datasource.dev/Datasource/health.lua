-- What Argo CD makes of a Datasource. A person who has to consent is what Argo CD calls Suspended: nothing is broken, and nothing
-- goes on by itself. The message says what to do; it never holds the link, since messages end up in notifications.
local health = { status = "Progressing", message = "Waiting for the operator to look at it." }

local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  -- observedGeneration is -1 until the operator has seen the Datasource.
  return health
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready
if ready == nil then
  return health
end
local function is_true(condition)
  return condition ~= nil and condition.status == "True"
end

if is_true(conditions.Stalled) then
  health.status = "Degraded"
elseif is_true(ready) then
  health.status = "Healthy"
elseif status.state == "NOT AUTHORIZED" or obj.spec.suspend == true then
  health.status = "Suspended"
elseif is_true(conditions.Reconciling) then
  health.status = "Progressing"
else
  health.status = "Degraded"
end
health.message = (status.state or "?") .. " (" .. ready.reason .. "): " .. ready.message
return health
