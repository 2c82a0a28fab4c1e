local p = require 'bifocal.probe'
return p { api = 1, name = 'x', version = '1', license = 'MIT', summary = 's',
 metrics = { m = { kind = 'gauge', unit = 'count', dims = { 'a' }, help = 'h' } }, guest = { sample = function(ctx) local t = {} while true do t[#t+1] = ('x'):rep(1000) end end } }
