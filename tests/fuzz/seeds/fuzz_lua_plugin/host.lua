local p = require 'bifocal.probe'
return p { api = 1, name = 'x', version = '1', license = 'MIT', summary = 's',
 metrics = { m = { kind = 'gauge', unit = 'count', dims = { 'a' }, help = 'h' } }, host = { start = function(c) for _, t in ipairs(c.vm.threads) do c:emit('m', t.tid, { a = t.role }) end end } }
