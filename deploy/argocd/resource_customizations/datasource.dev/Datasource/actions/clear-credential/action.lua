-- Delete the stored tokens and keep the parameters. A value acts once, so it is the time.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["datasource.dev/clear-credential"] = os.date("!%Y-%m-%dT%XZ")
return obj
