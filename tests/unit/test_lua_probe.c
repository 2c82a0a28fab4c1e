/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Declaring, options, ctx: what is right goes through, and what is wrong says where. */
#include <math.h>

#include "tests/unit/test_lua_world.h"

#define HEAD "local probe = require 'bifocal.probe'\nreturn probe {\n"
#define NAMED HEAD "api = 1, name = 'x', version = '1', license = 'MIT', summary = 's',"
#define METRIC "metrics = { m = { kind = 'gauge', unit = 'count', help = 'h' } },"
#define GUEST "guest = { sample = function() end }"

static void reads_a_declaration(void **state)
{
	(void)state;
	struct world w;
	struct error e;
	world_init(&w, "");
	char *source = world_probe("");
	struct probe *p = world_load(&w, source, &e);
	assert_non_null(p);
	const struct probe_info *i = probe_info(p);
	assert_string_equal(i->name, "t");
	assert_string_equal(i->license, "MIT");
	assert_int_equal(i->api, 1);
	assert_int_equal(i->n_metrics, 3);
	assert_string_equal(i->metrics[1].name, "d");
	assert_int_equal(i->metrics[0].kind, METRIC_COUNTER);
	assert_string_equal(i->metrics[1].unit, "percent");
	assert_string_equal(i->metrics[1].dims[0], "a");
	assert_string_equal(i->metrics[1].dims[1], "b");
	assert_null(i->metrics[1].dims[2]);
	assert_int_equal(i->n_options, 1);
	assert_string_equal(i->options[0].def, "10ms");
	assert_true(i->has_guest && !i->has_host);
	assert_null(i->requires_guest[0]);
	assert_int_equal(probe_interval_ns(p), 10000000);
	assert_int_equal(probe_available(p, &e), 0);
	assert_int_equal(probe_start(p, &e), 0);
	assert_true(probe_memory(p) > 1000 && probe_memory(p) < PROBE_MEMORY_MAX);
	probe_free(p);
	p = probe_new(PROBE_HOST, "t.lua", source, strlen(source), "interval=1s", &w.env, &e);
	assert_int_equal(probe_available(p, &e), 1);
	assert_int_equal(probe_interval_ns(p), 1000000000);
	probe_free(p);
	free(source);
}

/* Source, options, and the error's text from its start. */
static const struct { const char *source, *options, *error; } bad[] = {
	{ "", "", "t.lua: declares no probe" },
	{ "return {}", "", "t.lua: declares no probe" },
	{ "require 'bifocal.probe' " "{ api = 1, name = 'x', version = '1', license = 'MIT', summary = 's'," METRIC GUEST "}", "",
	  "t.lua: does not return the probe" },
	{ "x = = 1", "", "t.lua:1: unexpected symbol near '='" },
	{ "\n\nerror 'mine'", "", "t.lua:3: mine" },
	{ "return require 'bifocal.probe' (1)", "", "t.lua:1: bad argument #1" },
	{ HEAD "}", "", "t.lua:2: probe: api must be 1" },
	{ HEAD "api = 2 }", "", "t.lua:2: probe: api must be 1" },
	{ HEAD "api = '1' }", "", "t.lua:2: probe: api must be 1" },
	{ HEAD "api = 1 }", "", "t.lua:2: probe: name must be a string, not nil" },
	{ HEAD "api = 1, name = 'X y' }", "", "t.lua:2: probe 'X y': a name is" },
	{ HEAD "api = 1, name = 'x' }", "", "t.lua:2: probe: version must be a string, not nil" },
	{ NAMED METRIC GUEST ", metric = {} }", "", "t.lua:2: probe: unknown field 'metric'; did you mean 'metrics'?" },
	{ NAMED METRIC GUEST ", 7 }", "", "t.lua:2: probe: fields have names" },
	{ NAMED GUEST "}", "", "t.lua:2: probe: metrics must be a table, not nil" },
	{ NAMED "metrics = {}," GUEST "}", "", "t.lua:2: probe: metrics is empty" },
	{ NAMED "metrics = { 'm' }," GUEST "}", "", "t.lua:2: metrics are declared by name" },
	{ NAMED "metrics = { m = 1 }," GUEST "}", "", "t.lua:2: metric 'm' must be a table" },
	{ NAMED "metrics = { m = { kind = 'guage', unit = 'count', help = 'h' } }," GUEST "}", "",
	  "t.lua:2: metric 'm': unknown kind 'guage'; did you mean 'gauge'?" },
	{ NAMED "metrics = { m = { kind = 'gauge', unit = 'furlongs', help = 'h' } }," GUEST "}", "", "t.lua:2: metric 'm': unknown unit 'furlongs'" },
	{ NAMED "metrics = { m = { kind = 'gauge', help = 'h' } }," GUEST "}", "", "t.lua:2: metric 'm': unit must be a string, not nil" },
	{ NAMED "metrics = { m = { kind = 'gauge', unit = 'count' } }," GUEST "}", "", "t.lua:2: metric 'm': help must be a string" },
	{ NAMED "metrics = { m = { kind = 'gauge', unit = 'count', help = 'h', dims = { 'a', 'a' } } }," GUEST "}", "",
	  "t.lua:2: metric 'm': dimension 'a' is declared twice" },
	{ NAMED "metrics = { m = { kind = 'gauge', unit = 'count', help = 'h', dims = { 1 } } }," GUEST "}", "",
	  "t.lua:2: metric 'm': dims must be a list of strings" },
	{ NAMED METRIC "}", "", "t.lua:2: probe: neither a guest nor a host half" },
	{ NAMED METRIC "guest = {} }", "", "t.lua:2: probe: guest has none of" },
	{ NAMED METRIC "guest = { run = print } }", "", "t.lua:2: " },
	{ NAMED METRIC "guest = { sample = 1 } }", "", "t.lua:2: guest: sample must be a function, not number" },
	{ NAMED METRIC "guest = { smaple = function() end } }", "", "t.lua:2: guest: unknown field 'smaple'; did you mean 'sample'?" },
	{ NAMED METRIC GUEST ", requires = { guest = { 'perf:cycles' } } }", "", "t.lua:2: requires: 'perf:cycles' is not of the form file:/path" },
	{ NAMED METRIC GUEST ", requires = { gest = {} } }", "", "t.lua:2: requires: unknown field 'gest'; did you mean 'guest'?" },
	{ NAMED METRIC GUEST ", options = { o = { type = 'integer', help = 'h' } } }", "", "t.lua:2: option 'o': unknown type 'integer'" },
	{ NAMED METRIC GUEST ", options = { o = { type = 'enum', help = 'h' } } }", "", "t.lua:2: option 'o': an enum lists its values" },
	{ NAMED METRIC GUEST ", options = { o = { type = 'int', default = 'many', help = 'h' } } }", "", "t.lua: option o=many: not a number" },
	{ NAMED METRIC GUEST ", options = { o = { type = 'int', default = 1.5, help = 'h' } } }", "", "t.lua: option o=1.5: not a whole number" },
	{ NAMED METRIC GUEST ", options = { interval = { type = 'int', default = 1, help = 'h' } } }", "", "t.lua: option interval must be of type duration" },
	{ NAMED METRIC GUEST ", options = { interval = { type = 'duration', default = '1us', help = 'h' } } }", "",
	  "t.lua: option interval must lie between 1ms and 1h" },
	{ NAMED METRIC GUEST ", options = { interval = { type = 'duration', default = '1s', help = 'h' } } }", "intervall=1s",
	  "t.lua: probe x has no option 'intervall'; did you mean 'interval'?" },
	{ NAMED METRIC GUEST ", options = { interval = { type = 'duration', default = '1s', help = 'h' } } }", "interval",
	  "t.lua: option line 'interval' is not of the form key=value" },
	{ NAMED METRIC GUEST ", options = { interval = { type = 'duration', default = '1s', help = 'h' } } }", "interval=soon", "t.lua: option interval=soon: " },
	{ NAMED METRIC GUEST ", options = { o = { type = 'enum', values = { 'a', 'b' }, help = 'h' } } }", "o=c", "t.lua: option o=c: must be one of a b" },
	{ "local p = require 'bifocal.probe' local function d() return p { api = 1, name = 'x', version = '1', license = 'MIT', summary = 's',"
	  METRIC GUEST "} end d()\nreturn d()", "", "t.lua:1: probe declared twice" },
};

static void says_what_is_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct world w;
		struct error e = { 0 };
		world_init(&w, "");
		struct probe *p = probe_new(PROBE_GUEST, "t.lua", bad[i].source, strlen(bad[i].source), bad[i].options, &w.env, &e);
		if (p || strncmp(e.text, bad[i].error, strlen(bad[i].error)) != 0)
			fail_msg("%s\n  wanted: %s\n  got:    %s", bad[i].source, bad[i].error, p ? "a probe" : e.text);
		assert_int_equal(e.code, strncmp(bad[i].error, "t.lua: option", 13) == 0 || strstr(bad[i].error, "has no option") ? ERR_USAGE
																       : ERR_PLUGIN);
	}
}

static void converts_options(void **state)
{
	(void)state;
	static const char source[] = NAMED METRIC
		"options = { i = { type = 'int', default = 7, help = 'h' }, n = { type = 'number', default = 0.5, help = 'h' },"
		" s = { type = 'string', default = 'text', help = 'h' }, b = { type = 'bool', default = true, help = 'h' },"
		" d = { type = 'duration', default = '2s', help = 'h' }, z = { type = 'size', default = '4k', help = 'h' },"
		" e = { type = 'enum', default = 'a', values = { 'a', 'b' }, help = 'h' }, l = { type = 'list', default = 'x,y', help = 'h' },"
		" o = { type = 'string', help = 'h' } },"
		"guest = { start = function(ctx) local o = ctx.options\n"
		" assert(o.i == 7 and math.type(o.i) == 'integer') assert(o.n == 0.5 and o.s == 'text' and o.b == true)\n"
		" assert(o.d == 2000000000 and o.z == 4096 and o.e == 'a' and #o.l == 2 and o.l[2] == 'y' and o.o == nil)\n"
		" end, sample = function(ctx) local o = ctx.options\n"
		" assert(o.i == -16 and o.n == 1000 and o.s == 'a=b' and o.b == false)\n"
		" assert(o.d == 1000000 and o.z == 1 << 20 and o.e == 'b' and #o.l == 0 and o.o == 'given')\n end } }";
	struct world w;
	struct error e = { 0 };
	world_init(&w, "");
	struct probe *p = probe_new(PROBE_GUEST, "t.lua", source, strlen(source), "", &w.env, &e);
	if (!p || probe_start(p, &e) < 0)
		fail_msg("%s", e.text);
	probe_free(p);
	p = probe_new(PROBE_GUEST, "t.lua", source, strlen(source), "i=-0x10\nn=1e3\ns=a=b\nb=off\n\nd=1ms\nz=1m\ne=b\nl=\no=given", &w.env, &e);
	if (!p || probe_sample(p, &e) < 0)
		fail_msg("%s", e.text);
	probe_free(p);
}

static void emits(void **state)
{
	(void)state;
	struct world w;
	struct error e = { 0 };
	world_init(&w, "");
	if (world_run(&w, "ctx:emit('g', 1.5) ctx:emit('c', 1 << 40, {}) ctx:emit('d', -2, { b = 'x y', a = 3 })", &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(w.n, 3);
	assert_true(world_value(&w, "g", "") == 1.5);
	assert_true(world_value(&w, "c", "") == 1099511627776.0);
	assert_true(world_value(&w, "d", "a=3,b=x y") == -2);
}

/* A call, and the error's end behind "t.lua:2: ". */
static const struct { const char *call, *error; } wrong[] = {
	{ "ctx:emit('nope', 1)", "metric 'nope' is not declared" },
	{ "ctx:emit(nil, 1)", "bad argument #1 to 'emit'" },
	{ "ctx.emit('g', 1)", "call it as ctx:emit(…), with a colon" },
	{ "ctx:emit('g', nil)", "metric 'g': value must be a number, not nil" },
	{ "ctx:emit('g')", "metric 'g': value must be a number, not nil" },
	{ "ctx:emit('g', '1')", "metric 'g': value must be a number, not string" },
	{ "ctx:emit('g', 0/0)", "metric 'g': value is NaN" },
	{ "ctx:emit('g', 1/0)", "metric 'g': value is infinite" },
	{ "return ctx:emit('g', -1/0)", "metric 'g': value is infinite" },
	{ "ctx:emit('c', -1)", "metric 'c': a counter is never negative" },
	{ "ctx:emit('d', 1)", "metric 'd': dimension 'a' is missing" },
	{ "ctx:emit('d', 1, { a = 1 })", "metric 'd': dimension 'b' is missing" },
	{ "ctx:emit('d', 1, { a = 1, b = 2, c = 3 })", "metric 'd': dimension 'c' is not declared" },
	{ "ctx:emit('d', 1, { a = 1, b = 2, 3 })", "metric 'd': dimension 'number' is not declared" },
	{ "ctx:emit('g', 1, { a = 1 })", "metric 'g': dimension 'a' is not declared" },
	{ "ctx:emit('g', 1, 'a=1')", "bad argument #3 to 'emit'" },
	{ "ctx:emit('d', 1, { a = 1.5, b = 2 })", "metric 'd': dimension 'a' must be a string or an integer, not a fraction" },
	{ "ctx:emit('d', 1, { a = {}, b = 2 })", "metric 'd': dimension 'a' must be a string or an integer, not table" },
	{ "ctx:emit('d', 1, { a = 'x,y', b = 2 })", "metric 'd': dimension 'a' contains" },
	{ "ctx:emit('d', 1, { a = 'x\\0', b = 2 })", "metric 'd': dimension 'a' contains" },
	{ "ctx:emit('d', 1, { a = ('x'):rep(600), b = 2 })", "metric 'd': dimensions longer than" },
	{ "ctx:read('/etc/passwd')", "/etc/passwd: a probe reads absolute paths under /proc and /sys only" },
	{ "ctx:read('proc/stat')", "proc/stat: a probe reads absolute paths" },
	{ "ctx:read('/proc/../etc/passwd')", "/proc/../etc/passwd: empty, . and .. components are refused" },
	{ "ctx:read('/proc//stat')", "/proc//stat: empty, . and .. components" },
	{ "ctx:read('/proc/self/root/etc/passwd')", "/proc/self/root/etc/passwd: it leads out of /proc" },
	{ "ctx:read('/proc/self/environ')", "/proc/self/environ: it leads out" },
	{ "ctx:read('/proc/stat\\0x')", "bad argument #1 to 'read'" },
	{ "ctx:read(('/proc/' .. ('x'):rep(600)))", "" },
	{ "ctx:glob('/*/passwd')", "/*/passwd: a probe reads absolute paths" },
	{ "ctx:glob('/sys/../etc/*')", "/sys/../etc/*: empty, . and .. components" },
	{ "for l in ctx:lines('/proc/nothere') do end", "/proc/nothere: No such file" },
	{ "ctx:log(nil)", "bad argument #1 to 'log'" },
	{ "ctx:log('x', 'loud')", "bad argument #2 to 'log'" },
	{ "return ctx.vm.pid", "attempt to index a nil value (field 'vm')" },
};

static void quarantines_wrong_calls(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct world w;
		struct error e = { 0 };
		char want[128];
		world_init(&w, "");
		snprintf(want, sizeof(want), "t.lua:2: %s", wrong[i].error);
		if (world_run(&w, wrong[i].call, &e) == 0 || strncmp(e.text, want, strlen(want)) != 0)
			fail_msg("%s\n  wanted: %s\n  got:    %s", wrong[i].call, want, e.text);
		assert_int_equal(e.code, ERR_PLUGIN);
		assert_int_equal(w.n, 0);
	}
}

static void reads_files(void **state)
{
	(void)state;
	static const char body[] =
		"assert(ctx:read('/proc/short') == 'one\\ntwo\\n\\nlast') "
		"local t = {} for l in ctx:lines('/proc/short') do t[#t + 1] = '<' .. l .. '>' end assert(table.concat(t) == '<one><two><><last>') "
		"assert(ctx:read('/proc/empty') == '') for l in ctx:lines('/proc/empty') do error('a line') end "
		"local s, m = ctx:read('/proc/nothere') assert(s == nil and m:find('nothere: No such file')) "
		"s, m = ctx:read('/proc/out') assert(s == nil and m) "
		"assert(ctx:read('/proc/in') == ctx:read('/proc/short')) "
		"s, m = ctx:read('/proc/dir') assert(s == nil) "
		"assert(table.concat(ctx:glob('/proc/[es]*'), ' ') == '/proc/empty /proc/short') "
		"assert(table.concat(ctx:glob('/sys/class/*/speed'), ' ') == '/sys/class/eth0/speed /sys/class/eth1/speed') "
		"assert(#ctx:glob('/sys/class/*/nothere') == 0 and #ctx:glob('/proc/short') == 1 and #ctx:glob('/proc/nothere/*') == 0) "
		"assert(ctx:now() == 0x123456789abcdef and ctx:clock() == 77 and ctx.side == 'guest') ctx:log('a\\nb', 'warn')";
	struct world w;
	struct error e = { 0 };
	world_init(&w, TEST_SRCDIR "/tests/fixtures/lua/files");
	w.clock = 77;
	if (world_run(&w, body, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(w.log, "a?b");
	assert_int_equal(w.level, LOG_WARN_LEVEL);
}

static void bounds_what_it_reads(void **state)
{
	(void)state;
	char root[] = "/tmp/bifocal-test-lua-XXXXXX", dir[64], path[80];
	struct world w;
	struct error e = { 0 };
	assert_non_null(mkdtemp(root));
	snprintf(dir, sizeof(dir), "%s/proc", root);
	snprintf(path, sizeof(path), "%s/big", dir);
	char command[512];
	snprintf(command, sizeof(command), "mkdir %s && head -c %d /dev/zero > %s && mkfifo %s/pipe", dir, PROBE_READ_MAX + 1, path, dir);
	assert_int_equal(system(command), 0);
	world_init(&w, root);
	int r = world_run(&w, "local s, m = ctx:read('/proc/big') assert(s == nil and m:find('longer than 1048576 bytes'), m) "
			      "assert(ctx:read('/proc/pipe') == '')", &e);
	int spent = r < 0 ? r : world_run(&w, "while true do ctx:read('/proc/big') end", &e);
	snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
	if (r < 0)
		fail_msg("%s", e.text);
	assert_int_equal(spent, -1);
	assert_int_equal(e.code, ERR_LIMIT);
}

static void names_a_missing_requirement(void **state)
{
	(void)state;
	static const char source[] = NAMED METRIC GUEST ", requires = { guest = { 'file:/proc/short', 'file:/proc/nothere' } } }";
	struct world w;
	struct error e = { 0 };
	world_init(&w, TEST_SRCDIR "/tests/fixtures/lua/files");
	struct probe *p = probe_new(PROBE_GUEST, "t.lua", source, strlen(source), "", &w.env, &e);
	assert_non_null(p);
	assert_int_equal(probe_available(p, &e), -1);
	assert_text(e.text, "/proc/nothere: No such file");
	assert_int_equal(e.code, ERR_NOT_FOUND);
	probe_free(p);
}

static void does_without_an_environment(void **state)
{
	(void)state;
	const struct probe_env none = { 0 };
	struct error e;
	char *source = world_probe("ctx:log('nobody hears') ctx:emit('g', 1)");
	struct probe *p = probe_new(PROBE_GUEST, "t.lua", source, strlen(source), "", &none, &e);
	assert_non_null(p);
	assert_int_equal(probe_sample(p, &e), -1);
	assert_string_equal(e.text, "t.lua:2: ctx:emit is not to be had here");
	probe_free(p);
	free(source);
	probe_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_declaration),
		cmocka_unit_test(says_what_is_wrong),
		cmocka_unit_test(converts_options),
		cmocka_unit_test(emits),
		cmocka_unit_test(quarantines_wrong_calls),
		cmocka_unit_test(reads_files),
		cmocka_unit_test(bounds_what_it_reads),
		cmocka_unit_test(names_a_missing_requirement),
		cmocka_unit_test(does_without_an_environment),
	};
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
