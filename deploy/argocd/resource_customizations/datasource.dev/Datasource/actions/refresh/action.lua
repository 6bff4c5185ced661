-- Refresh the access token now. A value acts once, so it is the time.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["datasource.dev/refresh"] = os.date("!%Y-%m-%dT%XZ")
return obj
