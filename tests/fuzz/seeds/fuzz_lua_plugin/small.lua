local p = require 'bifocal.probe'
return p { api = 1, name = 'x', version = '1', license = 'MIT', summary = 's',
 metrics = { m = { kind = 'gauge', unit = 'count', dims = { 'a' }, help = 'h' } }, guest = { sample = function(ctx) ctx:emit('m', 1, { a = 2 }) end } }
