local p = require 'bifocal.probe'
return p { api = 1, name = 'x', version = '1', license = 'MIT', summary = 's',
 metrics = { m = { kind = 'gauge', unit = 'count', dims = { 'a' }, help = 'h' } }, guest = { sample = function(ctx) local x <close> = setmetatable({}, { __close = function() error(1) end }) coroutine.wrap(error)({}) end } }
