/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The string library of the manual (section 6.4) on bounded patterns, and utf8. A matcher's steps come
 * off the call's budget, so a pattern that explodes ends like a loop that does not.
 */
#include <lualib.h>
#include <string.h>

#include "lua/pattern.h"
#include "lua/sandbox.h"

struct subject {
	const char *s;
	size_t len;
	const struct pattern *pattern;
};

/* A start position as the manual's functions take it: negative counts from the end. May lie beyond the end. */
static size_t start_offset(lua_Integer init, size_t len)
{
	if (init > 0)
		return (lua_Unsigned)init - 1 > len ? len + 1 : (size_t)init - 1;
	if (init == 0 || init < -(lua_Integer)len)
		return 0;
	return len - (size_t)-init;
}

static bool search(lua_State *L, const struct subject *sub, const char *at, struct pattern_match *m)
{
	struct sandbox *sb = sandbox_of(L);
	switch (pattern_search(sub->pattern, sub->s, sub->len, at, &sb->left, m)) {
	case PATTERN_YES:
		return true;
	case PATTERN_COMPLEX:
		luaL_error(L, "pattern too complex");
		return false;
	case PATTERN_SPENT:
		sandbox_charge(L, 1);
		return false;
	default:
		return false;
	}
}

/* Pushes the compiled pattern of argument `arg` (a userdata, to be kept while it is in use). */
static const struct pattern *compile(lua_State *L, int arg, bool anchors)
{
	size_t len;
	const char *text = luaL_checklstring(L, arg, &len);
	luaL_argcheck(L, len <= PATTERN_LENGTH_MAX, arg, "pattern too long");
	sandbox_charge(L, 1 + len);
	struct pattern *p = lua_newuserdatauv(L, pattern_size(len), 0);
	const char *fault = pattern_compile(p, text, len, anchors);
	if (fault)
		luaL_error(L, "%s", fault);
	return p;
}

/* Capture i; the whole match stands for the first one if there is none. */
static void push_capture(lua_State *L, const struct subject *sub, const struct pattern_match *m, unsigned i)
{
	if (i >= m->n && i > 0)
		luaL_error(L, "invalid capture index %%%d", (int)i + 1);
	if (i >= m->n)
		lua_pushlstring(L, m->start, (size_t)(m->end - m->start));
	else if (m->capture[i].len == PATTERN_POSITION)
		lua_pushinteger(L, m->capture[i].at - sub->s + 1);
	else
		lua_pushlstring(L, m->capture[i].at, (size_t)m->capture[i].len);
}

static int push_captures(lua_State *L, const struct subject *sub, const struct pattern_match *m, bool whole)
{
	unsigned n = m->n == 0 && whole ? 1 : m->n;
	luaL_checkstack(L, (int)n, "too many captures");
	for (unsigned i = 0; i < n; i++)
		push_capture(L, sub, m, i);
	return (int)n;
}

static int push_range(lua_State *L, size_t from, size_t len)
{
	lua_pushinteger(L, (lua_Integer)from + 1);
	lua_pushinteger(L, (lua_Integer)(from + len));
	return 2;
}

static int find_plain(lua_State *L, const struct subject *sub, size_t from, const char *text, size_t len)
{
	sandbox_charge(L, 1 + (sub->len - from + len) / SANDBOX_BYTES_PER_STEP);
	const char *hit = len ? memmem(sub->s + from, sub->len - from, text, len) : sub->s + from;
	if (!hit) {
		lua_pushnil(L);
		return 1;
	}
	return push_range(L, (size_t)(hit - sub->s), len);
}

static int find_or_match(lua_State *L, bool find)
{
	struct subject sub;
	size_t len;
	sub.s = luaL_checklstring(L, 1, &sub.len);
	const char *text = luaL_checklstring(L, 2, &len);
	size_t from = start_offset(luaL_optinteger(L, 3, 1), sub.len);
	if (from > sub.len) {
		lua_pushnil(L);
		return 1;
	}
	if (find && (lua_toboolean(L, 4) || !pattern_special(text, len)))
		return find_plain(L, &sub, from, text, len);
	struct pattern_match m;
	sub.pattern = compile(L, 2, true);
	if (!search(L, &sub, sub.s + from, &m)) {
		lua_pushnil(L);
		return 1;
	}
	if (!find)
		return push_captures(L, &sub, &m, true);
	push_range(L, (size_t)(m.start - sub.s), (size_t)(m.end - m.start));
	return 2 + push_captures(L, &sub, &m, false);
}

static int string_find(lua_State *L)
{
	return find_or_match(L, true);
}

static int string_match(lua_State *L)
{
	return find_or_match(L, false);
}

/* Upvalues: subject, pattern, offset to go on from, end of the last match (-1: none). */
static int gmatch_next(lua_State *L)
{
	struct subject sub = { .pattern = lua_touserdata(L, lua_upvalueindex(2)) };
	struct pattern_match m;
	sub.s = lua_tolstring(L, lua_upvalueindex(1), &sub.len);
	lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
	size_t from = (size_t)lua_tointeger(L, lua_upvalueindex(3));
	while (from <= sub.len && search(L, &sub, sub.s + from, &m)) {
		lua_Integer end = m.end - sub.s;
		from = (size_t)(m.start - sub.s) + 1;
		if (end == last)
			continue;        /* an empty match where the last one ended is none */
		lua_pushinteger(L, end);
		lua_copy(L, -1, lua_upvalueindex(3));
		lua_replace(L, lua_upvalueindex(4));
		return push_captures(L, &sub, &m, true);
	}
	lua_pushinteger(L, (lua_Integer)sub.len + 1);
	lua_replace(L, lua_upvalueindex(3));
	return 0;
}

static int string_gmatch(lua_State *L)
{
	size_t len;
	luaL_checklstring(L, 1, &len);
	size_t from = start_offset(luaL_optinteger(L, 3, 1), len);
	lua_settop(L, 2);
	lua_pushvalue(L, 1);
	compile(L, 2, false);
	lua_pushinteger(L, (lua_Integer)from);
	lua_pushinteger(L, -1);
	lua_pushcclosure(L, gmatch_next, 4);
	return 1;
}

static void add_template(lua_State *L, luaL_Buffer *b, const struct subject *sub, const struct pattern_match *m)
{
	size_t n;
	const char *r = lua_tolstring(L, 3, &n), *end = r + n;
	sandbox_charge(L, 1 + n / 4);
	for (; r < end; r++) {
		if (*r != '%') {
			luaL_addchar(b, *r);
		} else if (++r < end && *r == '%') {
			luaL_addchar(b, '%');
		} else if (r < end && *r == '0') {
			luaL_addlstring(b, m->start, (size_t)(m->end - m->start));
		} else if (r < end && *r > '0' && *r <= '9') {
			push_capture(L, sub, m, (unsigned)(*r - '1'));
			luaL_addvalue(b);
		} else {
			luaL_error(L, "invalid use of '%%' in replacement string");
		}
	}
}

/* Adds what stands for the match: argument 3 is a string, a table or a function. */
static void add_replacement(lua_State *L, luaL_Buffer *b, const struct subject *sub, const struct pattern_match *m)
{
	switch (lua_type(L, 3)) {
	case LUA_TFUNCTION:
		lua_pushvalue(L, 3);
		lua_call(L, push_captures(L, sub, m, true), 1);
		break;
	case LUA_TTABLE:
		push_capture(L, sub, m, 0);
		lua_gettable(L, 3);
		break;
	default:
		add_template(L, b, sub, m);
		return;
	}
	if (!lua_toboolean(L, -1)) {
		lua_pop(L, 1);
		luaL_addlstring(b, m->start, (size_t)(m->end - m->start));
	} else if (lua_isstring(L, -1)) {
		luaL_addvalue(b);
	} else {
		luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
	}
}

static int string_gsub(lua_State *L)
{
	struct subject sub;
	struct pattern_match m;
	luaL_Buffer b;
	lua_Integer count = 0;
	sub.s = luaL_checklstring(L, 1, &sub.len);
	int type = lua_type(L, 3);
	luaL_argexpected(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TTABLE || type == LUA_TFUNCTION, 3,
			 "string/function/table");
	lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)sub.len + 1);
	sub.pattern = compile(L, 2, true);
	luaL_buffinit(L, &b);
	const char *at = sub.s, *copied = sub.s, *last = NULL;
	while (count < most && at <= sub.s + sub.len && search(L, &sub, at, &m)) {
		at = m.start + 1;
		if (m.end != last) {
			count++;
			luaL_addlstring(&b, copied, (size_t)(m.start - copied));
			add_replacement(L, &b, &sub, &m);
			at = copied = last = m.end;
		}
		if (pattern_anchored(sub.pattern))
			break;
	}
	luaL_addlstring(&b, copied, (size_t)(sub.s + sub.len - copied));
	luaL_pushresult(&b);
	lua_pushinteger(L, count);
	return 2;
}

static int string_rep(lua_State *L)
{
	size_t len, sep_len;
	const char *s = luaL_checklstring(L, 1, &len);
	lua_Integer n = luaL_checkinteger(L, 2);
	const char *sep = luaL_optlstring(L, 3, "", &sep_len);
	size_t most = sandbox_of(L)->limits.block, piece = len + sep_len;
	if (n <= 0 || piece == 0) {
		lua_pushliteral(L, "");
		return 1;
	}
	if ((lua_Unsigned)n > most / piece + 1)
		return luaL_error(L, "resulting string too large: a string has at most %d bytes here", (int)most);
	size_t total = (size_t)n * piece - sep_len;
	sandbox_charge(L, (uint64_t)n + total / SANDBOX_BYTES_PER_STEP);
	luaL_Buffer b;
	char *p = luaL_buffinitsize(L, &b, total);
	while (n-- > 0) {
		memcpy(p, s, len);
		p += len;
		if (n > 0) {
			memcpy(p, sep, sep_len);
			p += sep_len;
		}
	}
	luaL_pushresultsize(&b, total);
	return 1;
}

/* Methods of strings stay reachable; the metatable itself is the library's. */
static void protect_metatable(lua_State *L)
{
	lua_pushliteral(L, "");
	lua_getmetatable(L, -1);
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 2);
}

void stringlib_open(lua_State *L)
{
	static const char *const names[] = { "byte", "char", "format", "len", "lower", "pack", "packsize", "reverse", "sub",
					     "unpack", "upper", NULL };
	static const char *const utf8_names[] = { "char", "charpattern", "codepoint", "codes", "len", "offset", NULL };
	static const char *const long_work[] = { "byte", "format", "pack", "packsize", "unpack" };
	static const char *const utf8_long_work[] = { "codepoint", "len", "offset" };
	static const luaL_Reg own[] = {
		{ "find", string_find }, { "gmatch", string_gmatch }, { "gsub", string_gsub }, { "match", string_match },
		{ "rep", string_rep }, { NULL, NULL },
	};
	lua_pushcfunction(L, luaopen_string);
	lua_call(L, 0, 1);
	baselib_keep(L, names);
	luaL_setfuncs(L, own, 0);
	for (size_t i = 0; i < sizeof(long_work) / sizeof(long_work[0]); i++)
		baselib_charge_field(L, long_work[i]);
	lua_setglobal(L, "string");
	protect_metatable(L);
	lua_pushcfunction(L, luaopen_utf8);
	lua_call(L, 0, 1);
	baselib_keep(L, utf8_names);
	for (size_t i = 0; i < sizeof(utf8_long_work) / sizeof(utf8_long_work[0]); i++)
		baselib_charge_field(L, utf8_long_work[i]);
	lua_setglobal(L, "utf8");
}
