/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table library of the manual (section 6.6), with each element charged for: lengths and indices come from
 * metamethods and arguments, and may be anything up to 2^63.
 */
#include <lualib.h>

#include "lua/sandbox.h"

/* What an element read or written through the C API costs, in VM instructions. */
enum { ELEMENT_STEPS = 6 };

static lua_Integer check_length(lua_State *L, int i)
{
	luaL_checktype(L, i, LUA_TTABLE);
	return luaL_len(L, i);
}

static void copy_element(lua_State *L, int from, lua_Integer i, int to, lua_Integer j)
{
	sandbox_charge(L, ELEMENT_STEPS);
	lua_geti(L, from, i);
	lua_seti(L, to, j);
}

static int table_insert(lua_State *L)
{
	lua_Integer end = (lua_Integer)((lua_Unsigned)check_length(L, 1) + 1);
	int n = lua_gettop(L);
	if (n == 2) {
		lua_seti(L, 1, end);
		return 0;
	}
	if (n != 3)
		return luaL_error(L, "wrong number of arguments to 'insert'");
	lua_Integer at = luaL_checkinteger(L, 2);
	luaL_argcheck(L, (lua_Unsigned)at - 1u < (lua_Unsigned)end, 2, "position out of bounds");
	for (lua_Integer i = end; i > at; i--)
		copy_element(L, 1, i - 1, 1, i);
	lua_seti(L, 1, at);
	return 0;
}

static int table_remove(lua_State *L)
{
	lua_Integer size = check_length(L, 1);
	lua_Integer at = luaL_optinteger(L, 2, size);
	luaL_argcheck(L, at == size || (lua_Unsigned)at - 1u <= (lua_Unsigned)size, 2, "position out of bounds");
	lua_settop(L, 1);
	lua_geti(L, 1, at);
	for (; at < size; at++)
		copy_element(L, 1, at + 1, 1, at);
	lua_pushnil(L);
	lua_seti(L, 1, at);
	return 1;
}

static int table_move(lua_State *L)
{
	lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3), to = luaL_checkinteger(L, 4);
	int dst = lua_isnoneornil(L, 5) ? 1 : 5;
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checktype(L, dst, LUA_TTABLE);
	if (last >= first) {
		luaL_argcheck(L, first > 0 || last < LUA_MAXINTEGER + first, 3, "too many elements to move");
		lua_Integer n = last - first + 1;
		luaL_argcheck(L, to <= LUA_MAXINTEGER - n + 1, 4, "destination wrap around");
		/* Where the two ranges overlap in one table, go from the end that is not overwritten first. */
		bool forward = to > last || to <= first || (dst != 1 && !lua_compare(L, 1, dst, LUA_OPEQ));
		for (lua_Integer i = 0; i < n; i++) {
			lua_Integer k = forward ? i : n - 1 - i;
			copy_element(L, 1, first + k, dst, to + k);
		}
	}
	lua_pushvalue(L, dst);
	return 1;
}

static int table_concat(lua_State *L)
{
	lua_Integer size = check_length(L, 1);
	size_t n;
	const char *sep = luaL_optlstring(L, 2, "", &n);
	lua_Integer i = luaL_optinteger(L, 3, 1), last = luaL_optinteger(L, 4, size);
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	for (; i <= last; i++) {
		sandbox_charge(L, ELEMENT_STEPS);
		lua_geti(L, 1, i);
		if (!lua_isstring(L, -1))
			return luaL_error(L, "invalid value (at index %I) in table for 'concat'", (LUAI_UACINT)i);
		luaL_addvalue(&b);
		if (i == last)
			break;           /* before i++ could overflow */
		luaL_addlstring(&b, sep, n);
	}
	luaL_pushresult(&b);
	return 1;
}

static int table_unpack(lua_State *L)
{
	lua_Integer i = luaL_optinteger(L, 2, 1);
	lua_Integer last = luaL_opt(L, luaL_checkinteger, 3, luaL_len(L, 1));
	if (i > last)
		return 0;
	lua_Unsigned n = (lua_Unsigned)last - (lua_Unsigned)i;
	if (n >= LUAI_MAXSTACK || !lua_checkstack(L, (int)(n + 1)))
		return luaL_error(L, "too many results to unpack");
	for (lua_Unsigned k = 0; k <= n; k++) {
		sandbox_charge(L, ELEMENT_STEPS);
		lua_geti(L, 1, (lua_Integer)((lua_Unsigned)i + k));
	}
	return (int)(n + 1);
}

/* table at 1, order function or nil at 2; compares the two values on top. */
static bool less(lua_State *L, int a, int b)
{
	if (lua_isnil(L, 2))
		return lua_compare(L, a, b, LUA_OPLT);
	lua_pushvalue(L, 2);
	lua_pushvalue(L, a < 0 ? a - 1 : a);
	lua_pushvalue(L, b < 0 ? b - 2 : b);
	lua_call(L, 2, 1);
	bool r = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return r;
}

/* Lets the value on top of the stack sink from the hole at `root`; pops it. */
static void sift_down(lua_State *L, lua_Integer root, lua_Integer size)
{
	for (lua_Integer child; (child = 2 * root) <= size; root = child) {
		sandbox_charge(L, 2 * ELEMENT_STEPS);
		lua_geti(L, 1, child);                   /* value left */
		if (child < size) {
			lua_geti(L, 1, child + 1);       /* value left right */
			if (less(L, -2, -1)) {
				lua_replace(L, -2);
				child++;
			} else {
				lua_pop(L, 1);
			}
		}
		if (!less(L, -2, -1)) {                  /* value child */
			lua_pop(L, 1);
			break;
		}
		lua_seti(L, 1, root);
	}
	lua_seti(L, 1, root);
}

/* Heap sort: n·log n whatever the order function says, so that a false one can neither hang nor overrun. */
static int table_sort(lua_State *L)
{
	lua_Integer n = check_length(L, 1);
	luaL_argcheck(L, n < INT32_MAX, 1, "array too big");
	if (!lua_isnoneornil(L, 2))
		luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	for (lua_Integer i = n / 2; i >= 1; i--) {
		lua_geti(L, 1, i);
		sift_down(L, i, n);
	}
	for (lua_Integer last = n; last > 1; last--) {
		lua_geti(L, 1, last);
		lua_geti(L, 1, 1);
		lua_seti(L, 1, last);
		sift_down(L, 1, last - 1);
	}
	return 0;
}

void tablelib_open(lua_State *L)
{
	static const char *const names[] = { "pack", NULL };
	static const luaL_Reg own[] = {
		{ "concat", table_concat }, { "insert", table_insert }, { "move", table_move }, { "remove", table_remove },
		{ "sort", table_sort }, { "unpack", table_unpack }, { NULL, NULL },
	};
	lua_pushcfunction(L, luaopen_table);
	lua_call(L, 0, 1);
	baselib_keep(L, names);
	luaL_setfuncs(L, own, 0);
	lua_setglobal(L, "table");
}
