/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Our patterns against Lua's own: the same calls in a sandbox and in a plain state must agree. */
#include <lualib.h>

#include "lua/pattern.h"
#include "tests/unit/test_lua_world.h"

static const struct sandbox_limits limits = { .memory = 16 << 20, .block = 2 << 20, .budget = 2000000, .cpu_ns = 5000000000 };

/* Evaluates an expression list in both; results are joined into one string, errors into "error". */
static const char driver[] =
	"local f = ... "
	"local function show(ok, ...) "
	"  if not ok then return 'error' end "
	"  local t = table.pack(...) "
	"  for i = 1, t.n do t[i] = math.type(t[i]) == 'integer' and '#' .. t[i] or tostring(t[i]) end "
	"  return table.concat(t, '|') "
	"end "
	"return show(pcall(f))";

struct pair { lua_State *plain; struct sandbox sb; };

static int set_up(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	struct error e;
	assert_non_null(p);
	p->plain = luaL_newstate();
	luaL_openlibs(p->plain);
	assert_int_equal(sandbox_open(&p->sb, &limits, &e), 0);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct pair *p = *state;
	lua_close(p->plain);
	sandbox_close(&p->sb);
	free(p);
	return 0;
}

static void evaluate(lua_State *L, const char *code, char *out, size_t cap)
{
	assert_int_equal(luaL_loadstring(L, driver), LUA_OK);
	if (luaL_loadstring(L, code) != LUA_OK)
		fail_msg("%s: %s", code, lua_tostring(L, -1));
	assert_int_equal(lua_pcall(L, 1, 1, 0), LUA_OK);
	size_t n;
	const char *s = lua_tolstring(L, -1, &n);
	n = n < cap - 1 ? n : cap - 1;
	memcpy(out, s, n);
	out[n] = 0;
	lua_settop(L, 0);
}

struct job { const char *code; char out[4096]; };

static int evaluate_job(lua_State *L)
{
	struct job *j = lua_touserdata(L, 1);
	lua_settop(L, 0);
	evaluate(L, j->code, j->out, sizeof(j->out));
	return 0;
}

static void compare(struct pair *p, const char *code)
{
	struct job ours = { .code = code };
	struct error e;
	char theirs[sizeof(ours.out)];
	evaluate(p->plain, code, theirs, sizeof(theirs));
	if (sandbox_call(&p->sb, evaluate_job, &ours, "t", &e) < 0)
		fail_msg("%s: %s", code, e.text);
	if (strcmp(ours.out, theirs) != 0)
		fail_msg("%s\n  ours:   %s\n  theirs: %s", code, ours.out, theirs);
}

static const char *const cases[] = {
	"return ('hello world'):find('o w')", "return ('hello'):find('l', 4)", "return ('hello'):find('', 10)",
	"return ('hello'):find('', 6)", "return ('a.b'):find('.', 1, true)", "return ('a.b'):find('.', -1)",
	"return ('abc'):find('b', -100)", "return ('key = value'):match('^(%w+)%s*=%s*(%w+)$')", "return ('abc'):match('()b()')",
	"return ('abc'):find('()b()')", "return ('THE (quick) fox'):find('%((%a+)%)')", "return ('f(a(b)c)d'):match('%b()')",
	"return ('THE (quick) fox'):gsub('%f[%a]%a+', string.lower)", "return ('hello'):match('(l)%1')",
	"return ('\"x\\'y\"'):match('([\"\\'])(.-)%1')", "return ('  trim  '):match('^%s*(.-)%s*$')", "return ('abc'):gsub('', '-')",
	"return ('abc'):gsub('b*', 'x')", "return ('hello world'):gsub('o', '0', 1)", "return ('abc'):gsub('%w', '%0%0')",
	"return ('abc'):gsub('(a)(b)', '%2%1')", "return ('abc'):gsub('%w', '%1')", "return ('abc'):gsub('%w', '%2')",
	"return ('abc'):gsub('%w', '%q')", "return ('abc'):gsub('%w', '%')", "return ('$n $m'):gsub('%$(%w+)', { n = 7, m = false })",
	"return ('abc'):gsub('%w', function(c) if c == 'b' then return 'X' end end)", "return ('abc'):gsub('%w', function() return {} end)",
	"return ('abc'):gsub('^a', 'x')", "return ('aaa'):gsub('^a', 'x')", "return ('a$b'):gsub('$', '!')", "return ('a$b'):find('$b')",
	"return ('a^b'):find('a^')", "return ('a-z'):find('[a-]', 2)", "return ('a]b'):find('[]]')", "return ('a]b'):find('[^]]+', 2)",
	"return ('a%b'):find('[%%]')", "return ('xyz'):find('[x-z]+')", "return ('a\\0b'):find('\\0')", "return ('a\\0b'):match('%z')",
	"return ('a\\0b'):gsub('[%z]', '0')", "return ('x'):rep(3, ',')", "return ('x'):rep(0)", "return (''):rep(100)",
	"return ('x'):rep(-1)", "return ('abc'):find('[a')", "return ('abc'):find('%')", "return ('abc'):find('a(')",
	"return ('abc'):find('a)')", "return ('abc'):find('%1')", "return ('abc'):find('(a%1)')", "return ('abc'):find('%f')",
	"return ('abc'):find('%b')", "return ('abc'):find('%b(')", "return ('aXb'):find('%u')", "return ('aaa'):match('a-b')",
	"return ('aaab'):match('a-b')", "return ('ab'):match('a?b?c?')", "return ('aab'):match('a+b')", "return ('b'):match('a*b')",
	"return ('[[x]]'):find('[[]')", "return ('abc'):match('.-')", "return ('abc'):match('.-$')", "return ('x*y'):match('%*')",
	"return ('()'):match('%(%)')", "return ('abab'):match('(ab)%1')", "return ('x'):match('()%1')", "return (12345):find('34')",
	"return ('abc'):sub(2), ('abc'):upper(), ('abc'):byte(1, -1)", "return string.format('%5.2f|%q|%s|%x', 3.14159, 'a\\n', nil, 255)",
	"local t = {} for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do t[#t + 1] = k .. v end return table.concat(t, ';')",
	"local t = {} for w in ('one two'):gmatch('%a+') do t[#t + 1] = w end return table.concat(t, ';')",
	"local t = {} for p in ('abc'):gmatch('()') do t[#t + 1] = p end return table.concat(t, ';')",
	"local t = {} for w in ('^a^a'):gmatch('^a') do t[#t + 1] = w end return table.concat(t, ';')",
	"local t = {} for w in ('abc'):gmatch('b*') do t[#t + 1] = '<' .. w .. '>' end return table.concat(t, ';')",
	"local t = {} for w in ('abcabc'):gmatch('%w', 4) do t[#t + 1] = w end return table.concat(t, ';')",
	"local t = {} for w in ('abc'):gmatch('%w', -2) do t[#t + 1] = w end return table.concat(t, ';')",
	"local t = {} for w in ('abc'):gmatch('%w', 9) do t[#t + 1] = w end return table.concat(t, ';')",
	/* tables */
	"local t = { 3, 1, 2 } table.sort(t) return table.unpack(t)", "local t = { 1, 2, 3 } table.insert(t, 2, 9) return table.unpack(t)",
	"local t = { 1, 2, 3 } table.insert(t, 4) return table.unpack(t)", "local t = { 1, 2 } table.insert(t, 5, 1)", "local t = { 1 } table.insert(t)",
	"local t = { 1, 2, 3 } return table.remove(t), table.remove(t, 1), #t", "return table.remove({})", "return table.remove({}, 0)",
	"return table.remove({ 1, 2 }, 3)", "return table.remove({ 1, 2 }, 4)", "return table.remove({ 1, 2 }, -1)",
	"return table.unpack(table.move({ 1, 2, 3, 4 }, 2, 4, 1))", "return table.unpack(table.move({ 1, 2, 3, 4 }, 1, 3, 2))",
	"return table.unpack(table.move({ 1, 2 }, 1, 2, 3, { 8, 9 }))", "return table.move({}, 1, 0, 5) ~= nil",
	"return table.move({}, math.mininteger, 0, 1)", "return table.move({}, 1, math.maxinteger, 2)", "return table.concat({ 1, 'a', 2.5 }, '-')",
	"return table.concat({ 1, 2, 3 }, ',', 2, 3)", "return table.concat({ 1, {} })", "return table.concat({}, 'x')",
	"return table.concat({ [math.maxinteger] = 'z' }, '-', math.maxinteger, math.maxinteger)", "return table.unpack({ 1, 2, 3 }, 2)",
	"return table.unpack({ 1, 2, 3 }, -1, 1)", "return table.unpack({}, 1, 1e8)", "return table.unpack({}, math.mininteger, math.maxinteger)",
	"local t = {} for i = 1, 200 do t[i] = (i * 7919) % 211 end table.sort(t, function(a, b) return a > b end) return table.concat(t, ',')",
	"local t = { 'b', 'a', 'C' } table.sort(t) return table.concat(t)", "table.sort({ 1, 'x' })",
	/* coroutines and protected calls */
	"local f = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end) return f(1), f(10)",
	"local co = coroutine.create(function() error('x', 0) end) return coroutine.resume(co), coroutine.status(co), coroutine.resume(co)",
	"return pcall(coroutine.wrap(function() error({}, 0) end)) == false", "return select('#', pcall(error))",
	"local co = coroutine.create(function(...) return select('#', ...) end) return coroutine.resume(co, nil, nil, nil)",
	"return xpcall(function() error('x', 0) end, function(m) return m .. '!' end)", "return xpcall(function(...) return ... end, print or error, 1, 2)",
	"local co = coroutine.wrap(function() return pcall(function() return coroutine.yield(1) + 1 end) end) return co(), co(41)",
	"local log = '' local f = coroutine.wrap(function() local x <close> = setmetatable({}, { __close = function() log = log .. 'c' end }) "
	"error('e', 0) end) local ok, m = pcall(f) return ok, m, log",
	"local f = coroutine.wrap(function() local x <close> = setmetatable({}, { __close = function() error('new', 0) end }) "
	"error('old', 0) end) return pcall(f)",
	"local co = coroutine.create(function() local x <close> = setmetatable({}, { __close = function() end }) coroutine.yield() end) "
	"coroutine.resume(co) return coroutine.close(co), coroutine.status(co)",
	"return utf8.len('äöü'), utf8.char(8364), utf8.codepoint('ä')", "return tonumber('0x10'), tonumber('z', 36), tonumber('1e1'), tonumber({})",
};

static void agrees_on_cases(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		compare(*state, cases[i]);
}

/* Patterns and subjects put together at random from pieces that mean something. */
static void agrees_on_random_patterns(void **state)
{
	static const char *const pieces[] = { "a", "b", ".", "%a", "%d", "%s", "%W", "[ab]", "[^a]", "[%d_-]", "[a-c]", "(", ")", "()", "*", "+", "-",
					      "?", "%1", "%2", "%bab", "%f[%w]", "%f[^a]", "$", "^", "%.", "%%" };
	static const char letters[] = "aabbc1 _.%-";
	uint32_t seed = 12345;
	for (int i = 0; i < 20000; i++) {
		char pattern[64] = "", subject[16] = "", code[256];
		static const char *const calls[] = {
			"return ('%s'):find('%s')", "return ('%s'):match('%s', 2)", "return ('%s'):gsub('%s', '<%%0>')",
			"local t = {} for a, b in ('%s'):gmatch('%s') do t[#t + 1] = tostring(a) .. tostring(b) end return table.concat(t, ';')",
		};
		for (unsigned n = 1 + (seed >> 8) % 6; n > 0; n--) {
			seed = seed * 1664525 + 1013904223;
			strcat(pattern, pieces[(seed >> 16) % (sizeof(pieces) / sizeof(pieces[0]))]);
		}
		for (unsigned n = 0; n < 8; n++) {
			seed = seed * 1664525 + 1013904223;
			subject[n] = letters[(seed >> 16) % (sizeof(letters) - 1)];
		}
		unsigned call = (seed >> 20) % 4;
		snprintf(code, sizeof(code), calls[call], subject, pattern);
		struct pair *p = *state;
		/* A malformed pattern is always an error here, and in Lua only if its matcher comes that far. */
		uint64_t memory[1024];
		assert_true(pattern_size(strlen(pattern)) <= sizeof(memory));
		if (pattern_compile((struct pattern *)memory, pattern, strlen(pattern), call != 3) == NULL)
			compare(p, code);
	}
}

static void ends_catastrophes(void **state)
{
	(void)state;
	static const char *const bodies[] = {
		"local s = ('a'):rep(30000) return s:find(('.-'):rep(30) .. 'b')", "return ('a'):rep(100000):match(('a*'):rep(20) .. 'b')",
		"local s = ('('):rep(200000) while true do pcall(string.find, s, '%b()') end",
		"local s = ('a'):rep(100000) while true do pcall(string.gsub, s, '(a*)%1b', '') end",
	};
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct world w;
		struct error e;
		world_init(&w, "");
		assert_int_equal(world_run(&w, bodies[i], &e), -1);
		assert_int_equal(e.code, ERR_LIMIT);
		assert_text(e.text, "t.lua:2: instruction budget");
	}
}

static void bounds_depth_and_length(void **state)
{
	(void)state;
	struct world w;
	struct error e;
	world_init(&w, "");
	assert_int_equal(world_run(&w, "(('a'):rep(300)):find(('a?'):rep(300) .. 'b')", &e), -1);
	assert_text(e.text, "t.lua:2: pattern too complex");
	assert_int_equal(world_run(&w, "(''):find(('.'):rep(5000))", &e), -1);
	assert_text(e.text, "pattern too long");
	assert_int_equal(world_run(&w, "(''):find(('()'):rep(33))", &e), -1);
	assert_text(e.text, "too many captures");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(agrees_on_cases, set_up, tear_down),
		cmocka_unit_test_setup_teardown(agrees_on_random_patterns, set_up, tear_down),
		cmocka_unit_test(ends_catastrophes),
		cmocka_unit_test(bounds_depth_and_length),
	};
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
