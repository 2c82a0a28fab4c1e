/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a probe's functions get as `ctx`. Each function's upvalue 1 is the struct probe. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lua/internal.h"

enum {
	DIMS_TEXT_MAX = 512,
	LOG_TEXT_MAX = 512,
	THREADS_MAX = 512,
	/* Opening and reading a file of /proc, in VM instructions; and looking at one directory entry. */
	FILE_STEPS = 500, ENTRY_STEPS = 10,
};

static struct probe *self(lua_State *L, const char *method)
{
	if (!lua_istable(L, 1))
		luaL_error(L, "call it as ctx:%s(…), with a colon", method);
	return lua_touserdata(L, lua_upvalueindex(1));
}

static int absent(lua_State *L, const char *what)
{
	return luaL_error(L, "%s is not to be had here", what);
}

static const struct probe_metric *check_metric(lua_State *L, const struct probe *p)
{
	const char *name = luaL_checkstring(L, 2);
	lua_rawgeti(L, LUA_REGISTRYINDEX, p->metric_index);
	if (raw_field(L, -1, name) != LUA_TNUMBER)
		luaL_error(L, "metric '%s' is not declared", name);
	const struct probe_metric *m = &p->info.metrics[lua_tointeger(L, -1)];
	lua_pop(L, 2);
	return m;
}

static double check_value(lua_State *L, const struct probe_metric *m)
{
	if (lua_type(L, 3) != LUA_TNUMBER)
		luaL_error(L, "metric '%s': value must be a number, not %s", m->name, luaL_typename(L, 3));
	double v = lua_tonumber(L, 3);
	if (!isfinite(v))
		luaL_error(L, "metric '%s': value is %s", m->name, isnan(v) ? "NaN" : "infinite");
	if (m->kind == METRIC_COUNTER && v < 0)
		luaL_error(L, "metric '%s': a counter is never negative", m->name);
	return v;
}

/* "name=value" of one dimension onto the text. Values go into keys and tables: no separators, no control bytes. */
static size_t add_dim(lua_State *L, const struct probe_metric *m, const char *dim, char *text, size_t at)
{
	int type = raw_field(L, 4, dim);
	if (type == LUA_TNIL)
		luaL_error(L, "metric '%s': dimension '%s' is missing", m->name, dim);
	if (type != LUA_TSTRING && !lua_isinteger(L, -1))
		luaL_error(L, "metric '%s': dimension '%s' must be a string or an integer, not %s", m->name, dim,
			   type == LUA_TNUMBER ? "a fraction" : luaL_typename(L, -1));
	size_t n;
	const char *v = lua_tolstring(L, -1, &n);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)v[i] < 32 || v[i] == 127 || v[i] == ',' || v[i] == '=')
			luaL_error(L, "metric '%s': dimension '%s' contains ',', '=' or a control character", m->name, dim);
	size_t name_len = strlen(dim);
	if (at + name_len + n + 3 > DIMS_TEXT_MAX)
		luaL_error(L, "metric '%s': dimensions longer than %d bytes", m->name, DIMS_TEXT_MAX);
	at += (size_t)snprintf(text + at, DIMS_TEXT_MAX - at, "%s%s=%s", at ? "," : "", dim, v);
	lua_pop(L, 1);
	return at;
}

static void check_extra_dims(lua_State *L, const struct probe_metric *m)
{
	lua_pushnil(L);
	while (lua_next(L, 4)) {
		lua_pop(L, 1);
		bool known = false;
		for (size_t i = 0; m->dims[i] && lua_type(L, -1) == LUA_TSTRING; i++)
			known = known || strcmp(m->dims[i], lua_tostring(L, -1)) == 0;
		if (!known)
			luaL_error(L, "metric '%s': dimension '%s' is not declared", m->name,
				   lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, -1));
	}
}

static int ctx_emit(lua_State *L)
{
	struct probe *p = self(L, "emit");
	char dims[DIMS_TEXT_MAX] = "";
	size_t at = 0;
	lua_settop(L, 4);
	const struct probe_metric *m = check_metric(L, p);
	double v = check_value(L, m);
	if (lua_isnil(L, 4)) {
		lua_newtable(L);
		lua_replace(L, 4);
	}
	luaL_checktype(L, 4, LUA_TTABLE);
	for (size_t i = 0; m->dims[i]; i++)
		at = add_dim(L, m, m->dims[i], dims, at);
	check_extra_dims(L, m);
	if (!p->env.emit)
		return absent(L, "ctx:emit");
	p->env.emit(p->env.ctx, p, m, dims, v);
	return 0;
}

static int ctx_now(lua_State *L)
{
	struct probe *p = self(L, "now");
	if (!p->env.now)
		return absent(L, "ctx:now");
	lua_pushinteger(L, (lua_Integer)p->env.now(p->env.ctx));
	return 1;
}

static int ctx_clock(lua_State *L)
{
	struct probe *p = self(L, "clock");
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	uint64_t ns = p->env.clock ? p->env.clock(p->env.ctx) : (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	lua_pushinteger(L, (lua_Integer)ns);
	return 1;
}

static int ctx_log(lua_State *L)
{
	static const char *const levels[] = { "error", "warn", "info", "debug", NULL };
	struct probe *p = self(L, "log");
	char line[LOG_TEXT_MAX];
	size_t n;
	const char *text = luaL_checklstring(L, 2, &n);
	int level = luaL_checkoption(L, 3, "info", levels);
	n = n < sizeof(line) ? n : sizeof(line) - 1;
	for (size_t i = 0; i < n; i++)
		line[i] = (unsigned char)text[i] < 32 || text[i] == 127 ? '?' : text[i];
	line[n] = 0;
	if (p->env.log)
		p->env.log(p->env.ctx, p, (enum log_level)level, line);
	return 0;
}

/* A path argument without NUL. */
static const char *check_path(lua_State *L, int arg)
{
	size_t n;
	const char *path = luaL_checklstring(L, arg, &n);
	luaL_argcheck(L, strlen(path) == n, arg, "path contains a NUL");
	return path;
}

/* Pushes the file's contents and returns true, or nil and a message. A path that is refused is the probe's fault and raised. */
static bool push_file(lua_State *L, struct probe *p)
{
	struct error e;
	const char *path = check_path(L, 2);
	sandbox_charge(L, FILE_STEPS);
	if (files_read(&p->files, path, PROBE_READ_MAX, &e) == 0) {
		sandbox_charge(L, p->files.len / SANDBOX_BYTES_PER_STEP);
		lua_pushlstring(L, p->files.buf ? p->files.buf : "", p->files.len);
		return true;
	}
	if (e.code == ERR_REFUSED)
		luaL_error(L, "%s", e.text);
	lua_pushnil(L);
	lua_pushstring(L, e.text);
	return false;
}

static int ctx_read(lua_State *L)
{
	return push_file(L, self(L, "read")) ? 1 : 2;
}

/* Upvalues: the text, the offset of the next line. */
static int next_line(lua_State *L)
{
	size_t n;
	const char *s = lua_tolstring(L, lua_upvalueindex(1), &n);
	size_t at = (size_t)lua_tointeger(L, lua_upvalueindex(2));
	if (at >= n)
		return 0;
	const char *end = memchr(s + at, '\n', n - at);
	size_t len = end ? (size_t)(end - s) - at : n - at;
	sandbox_charge(L, 1 + len / SANDBOX_BYTES_PER_STEP);
	lua_pushinteger(L, (lua_Integer)(at + len + 1));
	lua_replace(L, lua_upvalueindex(2));
	lua_pushlstring(L, s + at, len);
	return 1;
}

static int ctx_lines(lua_State *L)
{
	if (!push_file(L, self(L, "lines")))
		return lua_error(L);
	lua_pushinteger(L, 0);
	lua_pushcclosure(L, next_line, 2);
	return 1;
}

static int ctx_glob(lua_State *L)
{
	struct probe *p = self(L, "glob");
	struct error e;
	sandbox_charge(L, FILE_STEPS);
	int r = files_glob(&p->files, check_path(L, 2), &e);
	sandbox_charge(L, p->files.scanned * ENTRY_STEPS);
	if (r < 0)
		return luaL_error(L, "%s", e.text);
	lua_createtable(L, (int)p->files.n_found, 0);
	for (size_t i = 0; i < p->files.n_found; i++) {
		lua_pushstring(L, p->files.found[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static int push_threads(lua_State *L, const struct probe *p)
{
	struct probe_thread t[THREADS_MAX];
	if (!p->env.vm_threads)
		return absent(L, "ctx.vm.threads");
	size_t n = p->env.vm_threads(p->env.ctx, t, THREADS_MAX);
	n = n < THREADS_MAX ? n : THREADS_MAX;
	sandbox_charge(L, FILE_STEPS + n * ENTRY_STEPS);
	lua_createtable(L, (int)n, 0);
	for (size_t i = 0; i < n; i++) {
		lua_createtable(L, 0, 4);
		lua_pushinteger(L, t[i].tid);
		lua_setfield(L, -2, "tid");
		lua_pushstring(L, t[i].role);
		lua_setfield(L, -2, "role");
		lua_pushinteger(L, t[i].index);
		lua_setfield(L, -2, "index");
		lua_pushstring(L, t[i].name);
		lua_setfield(L, -2, "name");
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

/* ctx.vm.pid and ctx.vm.threads are asked for anew at each use: threads come and go. */
static int vm_index(lua_State *L)
{
	const struct probe *p = lua_touserdata(L, lua_upvalueindex(1));
	const char *key = luaL_checkstring(L, 2);
	if (strcmp(key, "threads") == 0)
		return push_threads(L, p);
	if (strcmp(key, "pid") != 0)
		return luaL_error(L, "ctx.vm has no field '%s'; it has pid and threads", key);
	if (!p->env.vm_pid)
		return absent(L, "ctx.vm.pid");
	int pid = p->env.vm_pid(p->env.ctx);
	if (pid > 0)
		lua_pushinteger(L, pid);
	else
		lua_pushnil(L);
	return 1;
}

static void push_vm(lua_State *L, struct probe *p)
{
	lua_newtable(L);
	lua_newtable(L);
	lua_pushlightuserdata(L, p);
	lua_pushcclosure(L, vm_index, 1);
	lua_setfield(L, -2, "__index");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, -2);
}

void ctx_push(lua_State *L, struct probe *p)
{
	static const luaL_Reg methods[] = {
		{ "emit", ctx_emit }, { "now", ctx_now }, { "clock", ctx_clock }, { "log", ctx_log }, { "read", ctx_read },
		{ "lines", ctx_lines }, { "glob", ctx_glob }, { NULL, NULL },
	};
	lua_newtable(L);
	lua_pushlightuserdata(L, p);
	luaL_setfuncs(L, methods, 1);
	lua_insert(L, -2);
	lua_setfield(L, -2, "options");
	lua_pushstring(L, p->side == PROBE_GUEST ? "guest" : "host");
	lua_setfield(L, -2, "side");
	if (p->side == PROBE_HOST) {
		push_vm(L, p);
		lua_setfield(L, -2, "vm");
	}
}
