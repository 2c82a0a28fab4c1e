/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The base library and coroutines, less what reaches outside, and with every function that can catch
 * an error made to raise it again once the sandbox is dead.
 *
 * Metatables. __gc would run outside every budget; weak tables with keys (__mode) can make one
 * collection quadratic. Both are refused, and stay refused: a table that serves as metatable gets a guard as its
 * own metatable, whose __newindex lets neither be added later. Hence such a table can have no metatable of the probe's.
 */
#include <lualib.h>
#include <string.h>

#include "lua/sandbox.h"

enum { COROUTINE_STEPS = 200 };      /* a hook period, and what lua_newthread costs */

static const char guard_key;         /* its address is the guard's place in the registry */

void baselib_keep(lua_State *L, const char *const names[])
{
	lua_pushnil(L);
	while (lua_next(L, -2)) {                /* table key value */
		lua_pop(L, 1);
		bool keep = false;
		for (size_t i = 0; names[i] && lua_type(L, -1) == LUA_TSTRING; i++)
			keep = keep || strcmp(names[i], lua_tostring(L, -1)) == 0;
		if (!keep) {
			lua_pushvalue(L, -1);
			lua_pushnil(L);
			lua_rawset(L, -4);       /* clearing a field is allowed in a traversal */
		}
	}
}

static int charged(lua_State *L)
{
	size_t bytes = 0;
	int n = lua_gettop(L);
	for (int i = 1; i <= n; i++)
		bytes += lua_type(L, i) == LUA_TSTRING ? lua_rawlen(L, i) : 0;
	sandbox_charge(L, 1 + bytes / SANDBOX_BYTES_PER_STEP);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, n, LUA_MULTRET);
	return lua_gettop(L);
}

static void wrap_field(lua_State *L, const char *name, lua_CFunction wrapper)
{
	lua_getfield(L, -1, name);
	lua_pushcclosure(L, wrapper, 1);
	lua_setfield(L, -2, name);
}

void baselib_charge_field(lua_State *L, const char *name)
{
	wrap_field(L, name, charged);
}

static int guarded_done(lua_State *L, int status, lua_KContext ctx)
{
	(void)status, (void)ctx;
	sandbox_check(L);
	return lua_gettop(L);
}

/* Calls upvalue 1; what it caught is raised again if it was the sandbox's end. */
static int guarded(lua_State *L)
{
	sandbox_check(L);
	int n = lua_gettop(L);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_callk(L, n, LUA_MULTRET, 0, guarded_done);
	return guarded_done(L, LUA_OK, 0);
}

/* The hook raises while hooks are off, and Lua runs the handler right there: without this, a handler
 * that loops would loop for ever. */
static int guarded_handler(lua_State *L)
{
	if (sandbox_of(L)->end != SANDBOX_ALIVE)
		return 1;
	lua_settop(L, 1);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, 1, 1);
	return 1;
}

static int guarded_xpcall(lua_State *L)
{
	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_pushvalue(L, 2);
	lua_pushcclosure(L, guarded_handler, 1);
	lua_replace(L, 2);
	return guarded(L);
}

static bool raw_has(lua_State *L, int table, const char *name)
{
	lua_pushstring(L, name);
	bool has = lua_rawget(L, table) != LUA_TNIL;
	lua_pop(L, 1);
	return has;
}

static int refuse_field(lua_State *L, const char *name)
{
	return luaL_error(L, "metatable field %s is refused: collection must not run a probe's code, nor grow with it", name);
}

static void refuse_fields(lua_State *L, int key)
{
	const char *name = lua_type(L, key) == LUA_TSTRING ? lua_tostring(L, key) : "";
	if (strcmp(name, "__gc") == 0 || strcmp(name, "__mode") == 0)
		refuse_field(L, name);
}

static int guard_newindex(lua_State *L)
{
	refuse_fields(L, 2);
	lua_settop(L, 3);
	lua_rawset(L, 1);
	return 0;
}

static int guarded_rawset(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkany(L, 3);
	refuse_fields(L, 2);
	lua_settop(L, 3);
	lua_rawset(L, 1);
	return 1;
}

static void guard_metatable(lua_State *L, int mt)
{
	if (raw_has(L, mt, "__gc"))
		refuse_field(L, "__gc");
	if (raw_has(L, mt, "__mode"))
		refuse_field(L, "__mode");
	lua_rawgetp(L, LUA_REGISTRYINDEX, &guard_key);
	if (!lua_getmetatable(L, mt)) {
		lua_setmetatable(L, mt);
		return;
	}
	if (!lua_rawequal(L, -1, -2))
		luaL_error(L, "a metatable cannot have a metatable of its own");
	lua_pop(L, 2);
}

static int guarded_setmetatable(lua_State *L)
{
	int type = lua_type(L, 2);
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
	if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
		return luaL_error(L, "cannot change a protected metatable");
	luaL_argcheck(L, type == LUA_TNIL || !lua_rawequal(L, 1, 2), 2, "a table cannot be its own metatable");
	if (type == LUA_TTABLE)
		guard_metatable(L, 2);
	lua_settop(L, 2);
	lua_setmetatable(L, 1);
	return 1;
}

static int heap_count(lua_State *L)
{
	static const char *const options[] = { "count", NULL };
	luaL_checkoption(L, 1, "count", options);
	lua_pushnumber(L, (lua_Number)sandbox_of(L)->used / 1024.0);
	return 1;
}

static int co_create(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	sandbox_charge(L, COROUTINE_STEPS);
	lua_State *co = lua_newthread(L);
	lua_pushvalue(L, 1);
	lua_xmove(L, co, 1);
	return 1;
}

/* Moves n arguments from the top of L, resumes, moves the results (or the error) back.
 * Returns how many results, or -1 with the error on top. */
static int resume(lua_State *L, lua_State *co, int n)
{
	struct sandbox *sb = sandbox_of(L);
	if (!lua_checkstack(co, n))
		luaL_error(L, "too many arguments to resume");
	if (lua_status(co) == LUA_OK && lua_gettop(co) == 0) {
		lua_pushliteral(L, "cannot resume dead coroutine");
		return -1;
	}
	lua_State *outer = sb->running;
	int results = 0;
	lua_xmove(L, co, n);
	sb->running = co;
	int status = lua_resume(co, L, n, &results);
	sb->running = outer;
	sandbox_check(L);
	bool good = status == LUA_OK || status == LUA_YIELD;
	if (good && !lua_checkstack(L, results + 1))
		luaL_error(L, "too many results to resume");
	lua_xmove(co, L, good ? results : 1);
	return good ? results : -1;
}

static lua_State *check_coroutine(lua_State *L)
{
	lua_State *co = lua_tothread(L, 1);
	luaL_argexpected(L, co != NULL, 1, "coroutine");
	return co;
}

static int co_resume(lua_State *L)
{
	lua_State *co = check_coroutine(L);
	sandbox_charge(L, 1);
	int n = resume(L, co, lua_gettop(L) - 1);
	lua_pushboolean(L, n >= 0);
	lua_insert(L, n >= 0 ? -(n + 1) : -2);
	return n >= 0 ? n + 1 : 2;
}

/* Upvalues: the coroutine, and coroutine.close. */
static int wrap_call(lua_State *L)
{
	lua_State *co = lua_tothread(L, lua_upvalueindex(1));
	sandbox_charge(L, 1);
	int n = resume(L, co, lua_gettop(L));
	if (n >= 0)
		return n;
	if (lua_status(co) != LUA_OK && lua_status(co) != LUA_YIELD) {
		/* Its variables to be closed are closed now, and may replace the error. resume() took the error
		 * off the coroutine's stack, where close looks for it. */
		lua_pushvalue(L, -1);
		lua_xmove(L, co, 1);
		lua_pushvalue(L, lua_upvalueindex(2));
		lua_pushvalue(L, lua_upvalueindex(1));
		lua_call(L, 1, 2);
		sandbox_check(L);
	}
	return lua_error(L);
}

static int co_wrap(lua_State *L)
{
	co_create(L);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushcclosure(L, wrap_call, 2);
	return 1;
}

static void open_coroutines(lua_State *L)
{
	static const char *const names[] = { "status", "yield", "isyieldable", "running", "close", NULL };
	lua_pushcfunction(L, luaopen_coroutine);
	lua_call(L, 0, 1);
	baselib_keep(L, names);
	wrap_field(L, "close", guarded);
	lua_getfield(L, -1, "close");
	lua_pushcclosure(L, co_wrap, 1);
	lua_setfield(L, -2, "wrap");
	static const luaL_Reg own[] = { { "create", co_create }, { "resume", co_resume }, { NULL, NULL } };
	luaL_setfuncs(L, own, 0);
	lua_setglobal(L, "coroutine");
}

static void open_guard(lua_State *L)
{
	lua_newtable(L);
	lua_pushcfunction(L, guard_newindex);
	lua_setfield(L, -2, "__newindex");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_rawsetp(L, LUA_REGISTRYINDEX, &guard_key);
}

void baselib_open(lua_State *L)
{
	static const char *const names[] = {
		"_G", "_VERSION", "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget",
		"rawlen", "select", "tonumber", "tostring", "type", "xpcall", NULL,
	};
	static const luaL_Reg own[] = {
		{ "collectgarbage", heap_count },
		{ "rawset", guarded_rawset },
		{ "setmetatable", guarded_setmetatable },
		{ NULL, NULL },
	};
	open_guard(L);
	lua_pushcfunction(L, luaopen_base);
	lua_call(L, 0, 1);
	baselib_keep(L, names);
	luaL_setfuncs(L, own, 0);
	wrap_field(L, "pcall", guarded);
	wrap_field(L, "xpcall", guarded_xpcall);
	wrap_field(L, "tonumber", charged);
	lua_pop(L, 1);
	open_coroutines(L);
	lua_pushcfunction(L, luaopen_math);
	lua_call(L, 0, 1);
	lua_setglobal(L, "math");
}
