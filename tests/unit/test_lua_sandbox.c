/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code that wants out, or on and on: every one must end in an error that names its line. */
#include "tests/unit/test_lua_world.h"

static int run(const char *body, struct error *e)
{
	struct world w;
	world_init(&w, "");
	return world_run(&w, body, e);
}

/* Each of these runs for ever in a sandbox that has the hole it is after. */
static const char *const endless[] = {
	"while true do end",
	"repeat until false",
	"for i = 1, math.huge do end",
	"local function f() return f() end f()",
	"while true do pcall(function() while true do end end) end",
	"while true do pcall(error) end",
	"xpcall(function() while true do end end, function() while true do end end)",
	"while true do xpcall(function() while true do end end, function() end) end",
	/* the same where the handler needs no memory: its frames are there already */
	"local function deep(n) if n > 0 then deep(n - 1) end return n end deep(50) "
	"xpcall(function() while true do end end, function() while true do end end)",
	"xpcall(error, function() while true do end end)",
	"local function f() pcall(f) f() end f()",
	"while true do coroutine.wrap(function() while true do end end)() end",
	"while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
	"while true do pcall(coroutine.wrap(function() while true do end end)) end",
	/* many coroutines that each stay below the hook's period */
	"while true do coroutine.wrap(function() local x = 1 end)() end",
	"local f = coroutine.wrap(function() while true do coroutine.yield() end end) while true do f() end",
	"local function go() return pcall(coroutine.wrap(go)) end while true do go() end",
	"local x <close> = setmetatable({}, { __close = function() while true do end end }) while true do end",
	"pcall(function() local x <close> = setmetatable({}, { __close = function() while true do end end }) error('x') end)",
	"local co = coroutine.create(function() local x <close> = setmetatable({}, { __close = function() while true do end end }) "
	"coroutine.yield() end) coroutine.resume(co) coroutine.close(co)",
	"coroutine.wrap(function() local x <close> = setmetatable({}, { __close = function() while true do end end }) error('x') end)()",
	"local function close() local x <close> = setmetatable({}, { __close = function() close() end }) error('x') end "
	"local function f() local x <close> = setmetatable({}, { __close = function() f() end }) error('x') end while true do pcall(f) end",
	"local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end }) while true do pcall(function() return t[1] end) end",
	"local t = setmetatable({}, { __index = function() while true do end end }) return t.x",
	"return tostring(setmetatable({}, { __tostring = function() while true do end end }))",
	"return ('%s'):format(setmetatable({}, { __tostring = function() while true do end end }))",
	"return #setmetatable({}, { __len = function() while true do end end })",
	"return setmetatable({}, { __eq = function() while true do end end }) == setmetatable({}, {})",
	"return setmetatable({}, { __concat = function() while true do end end }) .. 'x'",
	"for _ in setmetatable({}, { __call = function() return 1 end }) do end",
	"for _ in pairs(setmetatable({}, { __pairs = function() return function() return 1 end end })) do end",
	"table.move({}, 1, 2^53, 2)",
	"table.move(setmetatable({}, { __index = function() return nil end }), 1, 2^53 | 0, 2, {})",
	"table.concat(setmetatable({}, { __index = function() return '' end }), '', 1, 2^53 | 0)",
	"table.concat(setmetatable({}, { __len = function() return 2^53 | 0 end, __index = function() return '' end }))",
	"table.insert(setmetatable({}, { __len = function() return 2^53 | 0 end }), 1, 1)",
	"table.remove(setmetatable({}, { __len = function() return 2^53 | 0 end }), 1)",
	"table.sort(setmetatable({}, { __len = function() return 2^31 - 2 | 0 end, __index = function() return 1 end, __newindex = function() end }))",
	"table.sort({ 3, 2, 1 }, function() while true do end end)",
	"local t = {} for i = 1, 1000 do t[i] = i end while true do pcall(table.sort, t, function() return true end) end",
	"while true do pcall(string.rep, 'x', 1000000) end",
	"while true do pcall(string.format, '%s', ('x'):rep(100000)) end",
	"while true do utf8.len(('x'):rep(100000)) end",
	"local s = ('x'):rep(1000000) while true do local a, b = s .. 'y', s .. 'z' end",
	"local s = ('9'):rep(1000000) while true do local a = s + 0 end",
	"local s = ('a'):rep(1000000) local t = s .. '' while true do local a = s <= t end",
	"local s = ('1'):rep(1000000) while true do tonumber(s) end",
	"local t = {} for i = 1, 60000 do t[i] = i end while true do t.x = nil t.y = 1 t.y = nil t.x = 1 end",
	"local t = {} for i = 1, 40000 do t['k' .. i] = i end for k in pairs(t) do t[k] = nil end while true do next(t) end",
	"local s = ('x'):rep(100000) while true do for c in s:gmatch('.') do end end",
	"while true do ('x'):rep(1000):gsub('.', function() end) end",
	"local t = table.pack(('x'):rep(10000):byte(1, 10000)) while true do select('#', table.unpack(t)) end",
	"while true do setmetatable({}, {}) end",
	"goto on ::on:: goto on",
};

static void ends_what_never_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(endless) / sizeof(endless[0]); i++) {
		struct error e = { 0 };
		if (run(endless[i], &e) == 0)
			fail_msg("ended by itself: %s", endless[i]);
		if (e.code != ERR_LIMIT && !strstr(e.text, "overflow"))
			fail_msg("%s: ended by %s", endless[i], e.text);
		assert_int_equal(strncmp(e.text, "t.lua:2: ", 9), 0);
	}
}

static const char *const hungry[] = {
	"local t = {} for i = 1, 1e9 do t[i] = i end",
	"local s = 'x' while true do s = s .. s end",
	"local t = {} while true do t = { t, {}, {}, {}, {}, {}, {}, {} } end",
	"local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end",
	"local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(1000000) .. #t end) end",
	"local function f(...) return f(1, ...) end f()",
	"pcall(function() local function f() return f() + 1 end f() end)",
	"local t = {} while true do t[#t + 1] = coroutine.create(function() end) end",
	"local t = {} while true do t[#t + 1] = function() return t end end",
	"local s = {} for i = 1, 40 do s[i] = ('%d'):format(i):rep(900000 // 2) end",
};

static void ends_what_eats(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hungry) / sizeof(hungry[0]); i++) {
		struct error e = { 0 };
		if (run(hungry[i], &e) == 0)
			fail_msg("ended by itself: %s", hungry[i]);
		if (e.code != ERR_LIMIT && !strstr(e.text, "overflow"))
			fail_msg("%s: ended by %s", hungry[i], e.text);
		assert_int_equal(strncmp(e.text, "t.lua:2: ", 9), 0);
	}
}

/* Body, and a part of the error. */
static const struct { const char *body, *error; } refused[] = {
	{ "setmetatable({}, { __gc = function() end })", "__gc is refused" },
	{ "local m = {} setmetatable({}, m) m.__gc = function() end", "__gc is refused" },
	{ "local m = {} setmetatable({}, m) rawset(m, '__gc', 1)", "__gc is refused" },
	{ "setmetatable({}, { __mode = 'k' })", "__mode is refused" },
	{ "local m = {} setmetatable({}, m) m.__mode = 'k'", "__mode is refused" },
	{ "local m = {} setmetatable({}, m) setmetatable(m, {})", "protected metatable" },
	{ "setmetatable({}, setmetatable({}, {}))", "metatable of its own" },
	{ "local t = {} setmetatable(t, t)", "its own metatable" },
	{ "getmetatable('').__index = nil", "index a boolean" },
	{ "('x'):rep(2^31 | 0)", "string too large" },
	{ "('x'):rep(1e9, ',')", "string too large" },
	{ "('x'):rep(math.maxinteger)", "string too large" },
	{ "table.unpack({}, 1, 1e7)", "too many results" },
	{ "string.format('%99999d', 1)", "invalid" },
	{ "string.pack('c2000000000', '')", "memory" },
	{ "select(-2, 1)", "out of range" },
	{ "collectgarbage('collect')", "invalid option" },
	{ "require 'os'", "module 'os' not found" },
	{ "require 'bifocal.other'", "not found" },
	{ "error(setmetatable({}, { __tostring = function() while true do end end }))", "error object is a table" },
	{ "error()", "error object is a nil" },
	{ "local a; a.b.c = 1", "index a nil value" },
	{ "assert(false)", "assertion failed" },
	{ "assert(nil, 'mine')", "mine" },
	{ "error('\\27[31m\\n')", "?[31m?" },
	{ "return nothere()", "call a nil value (global 'nothere')" },
	{ "coroutine.yield()", "outside a coroutine" },
	{ "coroutine.wrap(function() error('inside') end)()", "inside" },
};

static void refuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct error e = { 0 };
		if (run(refused[i].body, &e) == 0)
			fail_msg("went through: %s", refused[i].body);
		assert_text(e.text, refused[i].error);
		bool located = strncmp(e.text, "t.lua:2: ", 9) == 0 || strstr(e.text, "error object");
		if (!located)
			fail_msg("%s: no line in '%s'", refused[i].body, e.text);
	}
}

/* What must hold inside. */
static const char *const holds[] = {
	"for _, n in ipairs { 'io', 'os', 'debug', 'package', 'load', 'loadstring', 'loadfile', 'dofile', 'print', 'warn' } do assert(_G[n] == nil, n) end",
	"assert(string.dump == nil and ('').dump == nil)",
	"assert(_G.string.find == string.find and getmetatable('') == false)",
	"assert(collectgarbage('count') > 1 and collectgarbage('count') < 16384)",
	"assert(select(2, pcall(error, 'x')) == 'x')",
	"local m = {} m.__index = m function m.f() return 7 end local o = setmetatable({}, m) m.g = 8 assert(o.f() == 7 and o.g == 8)",
	"local m = {} setmetatable({}, m) setmetatable({}, m) m.__index = { x = 1 } assert(setmetatable({}, m).x == 1)",
	"assert(getmetatable(setmetatable({}, { __metatable = 'no' })) == 'no')",
	"local t = {} for i = 1, 10000 do t[i] = i end local n = 0 for k in pairs(t) do n = n + k end assert(n == 50005000)",
	"assert(math.type(1) == 'integer' and utf8.char(228) == 'ä')",
	"assert(not pcall(setmetatable, 1, {})) assert(not pcall(rawset, {}, '__gc', 1))",
	"local ok, m = xpcall(function() local x = nil + 1 end, function(m) return 'handled: ' .. m end) assert(m:find('^handled: t.lua:2'))",
	"local ok, m = pcall(string.rep, 'x', 1 << 40) assert(not ok and m:find('too large'))",
};

static void keeps_the_rest(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(holds) / sizeof(holds[0]); i++) {
		struct error e = { 0 };
		if (run(holds[i], &e) < 0)
			fail_msg("%s: %s", holds[i], e.text);
	}
}

/* Two states share nothing: what one does to its libraries the other does not see. */
static void separates_states(void **state)
{
	(void)state;
	struct world w;
	struct error e;
	world_init(&w, "");
	char *evil = world_probe("string.rep = nil; math = nil; _G.pairs = nil; ctx.read = nil");
	char *good = world_probe("assert(string.rep and math and pairs and ctx.read)");
	struct probe *a = world_load(&w, evil, &e), *b = world_load(&w, good, &e);
	assert_int_equal(probe_sample(a, &e), 0);
	assert_int_equal(probe_sample(b, &e), 0);
	probe_free(a);
	probe_free(b);
	free(evil);
	free(good);
}

/* The budget is a call's, not a probe's. */
static void budget_is_fresh_in_each_call(void **state)
{
	(void)state;
	struct world w;
	struct error e;
	world_init(&w, "");
	char *source = world_probe("for i = 1, 200000 do local x = i * 2 end");
	struct probe *p = world_load(&w, source, &e);
	for (int i = 0; i < 50; i++)
		assert_int_equal(probe_sample(p, &e), 0);
	probe_free(p);
	free(source);
}

static void top_level_is_bounded_too(void **state)
{
	(void)state;
	struct world w;
	struct error e;
	world_init(&w, "");
	assert_null(world_load(&w, "\n\nwhile true do end", &e));
	assert_int_equal(e.code, ERR_LIMIT);
	assert_text(e.text, "t.lua:3: instruction budget of 2000000 spent");
	assert_null(world_load(&w, "local s = 'x' while true do s = s .. s end", &e));
	assert_text(e.text, "t.lua:1: out of memory");
}

static void refuses_bytecode_and_size(void **state)
{
	(void)state;
	struct world w;
	struct error e;
	world_init(&w, "");
	assert_null(world_load(&w, "\033Lua\x54\x00\x19\x93", &e));
	assert_int_equal(e.code, ERR_PLUGIN);
	assert_string_equal(e.text, "t.lua: is Lua bytecode; a probe must be source text");
	size_t n = PROBE_SOURCE_MAX + 1;
	char *big = malloc(n);
	memset(big, ' ', n);
	assert_null(probe_new(PROBE_GUEST, "t.lua", big, n, "", &w.env, &e));
	assert_int_equal(e.code, ERR_LIMIT);
	free(big);
}

/* All that a probe does, under the limits given. 0 when all of it went well. */
static int whole_life(const struct sandbox_limits *l)
{
	static const char body[] =
		"local t = {} for i = 1, 20 do t[i] = ('%d'):format(i) end table.sort(t) "
		"local s = table.concat(t, ','):gsub('%d', { ['1'] = 'x' }) for w in s:gmatch('%w+') do t[w] = s:find(w, 1, true) end "
		"local co = coroutine.wrap(function() coroutine.yield(pcall(error, {})) end) co() "
		"ctx:emit('d', 1, { a = 1, b = 'x' }) ctx:log('done') return ctx:read('/proc/self/stat')";
	struct world w;
	struct error e;
	world_init(&w, "");
	char *source = world_probe(body);
	struct probe *p = probe_new_limited(PROBE_GUEST, "t.lua", source, strlen(source), "interval=20ms\n", &w.env, l, &e);
	int r = p ? probe_start(p, &e) | probe_sample(p, &e) | probe_stop(p, &e) : -1;
	if (r < 0) {
		assert_int_equal(e.code, ERR_LIMIT);
		assert_text(e.text, "memory");
		assert_true(!p || probe_quarantined(p));
	} else {
		assert_int_equal(w.n, 1);
	}
	probe_free(p);
	free(source);
	return r;
}

static const struct sandbox_limits roomy = { .memory = 16 << 20, .block = 2 << 20, .budget = 1u << 31, .cpu_ns = 1ull << 40 };

static void survives_each_failing_allocation(void **state)
{
	(void)state;
	struct sandbox_limits l = roomy;
	uint64_t n = 1;
	for (; l.fail_from = n, whole_life(&l) < 0; n++)
		assert_true(n < 100000);
	assert_true(n > 300);
	/* A single refusal is healed by a collection, right in the middle of whatever went on; before the state
	 * is complete, and in the buffers of Lua's auxiliary library, there is no second try. */
	l.fail_from = 0;
	unsigned failed = 0;
	for (uint64_t i = 1; i < n; i++) {
		l.fail_once = i;
		failed += whole_life(&l) < 0;
	}
	assert_true(failed < n / 4);
}

/* Every cap between nothing and enough. */
static void survives_each_cap(void **state)
{
	(void)state;
	struct sandbox_limits l = roomy;
	bool enough = false;
	for (l.memory = 256; !enough; l.memory += 509) {
		assert_true(l.memory < 1 << 20);
		enough = whole_life(&l) == 0;
	}
}

/* Every budget between nothing and enough: the end may come at any instruction. */
static void survives_each_budget(void **state)
{
	(void)state;
	struct world w;
	struct error e;
	world_init(&w, "");
	char *source = world_probe("for i = 1, 5 do pcall(function() local x <close> = setmetatable({}, { __close = function() "
				   "coroutine.wrap(function() ('abc'):gsub('.', string.upper) end)() end }) error(i) end) end");
	struct sandbox_limits l = roomy;
	bool enough = false;
	for (l.budget = 100; !enough; l.budget += 97) {
		assert_true(l.budget < 1000000);
		struct probe *p = probe_new_limited(PROBE_GUEST, "t.lua", source, strlen(source), "", &w.env, &l, &e);
		enough = p && probe_sample(p, &e) == 0;
		if (!enough)
			assert_int_equal(e.code, ERR_LIMIT);
		probe_free(p);
	}
	free(source);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_what_never_ends),
		cmocka_unit_test(ends_what_eats),
		cmocka_unit_test(refuses),
		cmocka_unit_test(keeps_the_rest),
		cmocka_unit_test(separates_states),
		cmocka_unit_test(budget_is_fresh_in_each_call),
		cmocka_unit_test(top_level_is_bounded_too),
		cmocka_unit_test(refuses_bytecode_and_size),
		cmocka_unit_test(survives_each_failing_allocation),
		cmocka_unit_test(survives_each_cap),
		cmocka_unit_test(survives_each_budget),
	};
	alarm(300);      /* termination is what is tested; this is its generous bound */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
