local p = require 'bifocal.probe'
return p { api = 1, name = 'x', version = '1', license = 'MIT', summary = 's',
 metrics = { m = { kind = 'gauge', unit = 'count', dims = { 'a' }, help = 'h' } }, options = { o = { type = 'enum', values = { 'a' }, default = 'a', help = 'h' }, interval = { type = 'duration', default = '1ms', help = 'h' } }, requires = { guest = { 'file:/proc/stat' } }, guest = { stop = function(c) c:read('/proc/stat') c:glob('/sys/*') end } }
