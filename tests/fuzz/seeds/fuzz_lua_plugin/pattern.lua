local p = require 'bifocal.probe'
return p { api = 1, name = 'x', version = '1', license = 'MIT', summary = 's',
 metrics = { m = { kind = 'gauge', unit = 'count', dims = { 'a' }, help = 'h' } }, guest = { sample = function(ctx) ('aaaa'):gsub('(a*)(.-)%1%f[^a]', '%2') for w in ('a b'):gmatch('%b()()') do end end } }
