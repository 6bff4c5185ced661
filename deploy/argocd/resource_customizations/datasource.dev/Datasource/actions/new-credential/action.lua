-- Offer a link to get another credential while the old one works. A value acts once, so it is the time.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["datasource.dev/new-credential"] = os.date("!%Y-%m-%dT%XZ")
return obj
