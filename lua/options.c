/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Option values: the declared defaults, overridden by "key=value" lines, converted by type. */
#include <string.h>

#include "common/units.h"
#include "lua/internal.h"

static const uint64_t INTERVAL_DEFAULT_NS = 100000000;
static const uint64_t INTERVAL_MIN_NS = 1000000;       /* below it the probe measures itself */
static const uint64_t INTERVAL_MAX_NS = 3600000000000;

static int bad_value(lua_State *L, const struct probe_option *o, const char *text, const char *why)
{
	return luaL_error(L, "option %s=%s: %s", o->name, text, why);
}

static void push_enum(lua_State *L, const struct probe_option *o, const char *text)
{
	for (size_t i = 0; o->values[i]; i++) {
		if (strcmp(o->values[i], text) == 0) {
			lua_pushstring(L, text);
			return;
		}
	}
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	luaL_addstring(&b, "must be one of");
	for (size_t i = 0; o->values[i]; i++) {
		luaL_addchar(&b, ' ');
		luaL_addstring(&b, o->values[i]);
	}
	luaL_pushresult(&b);
	bad_value(L, o, text, lua_tostring(L, -1));
}

static void push_list(lua_State *L, const char *text)
{
	lua_newtable(L);
	for (lua_Integer i = 1; *text; i++) {
		const char *end = strchrnul(text, ',');
		lua_pushlstring(L, text, (size_t)(end - text));
		lua_rawseti(L, -2, i);
		text = *end ? end + 1 : end;
	}
}

static void push_number(lua_State *L, const struct probe_option *o, const char *text, bool integer)
{
	/* Hexadecimal and exponents, as Lua reads numbers; an int must be one. */
	if (lua_stringtonumber(L, text) == 0)
		bad_value(L, o, text, "not a number");
	lua_Number v = lua_tonumber(L, -1);
	if (v != v || v - v != 0)
		bad_value(L, o, text, "not a finite number");
	if (!integer)
		return;
	int whole;
	lua_Integer i = lua_tointegerx(L, -1, &whole);
	if (!whole)
		bad_value(L, o, text, "not a whole number");
	lua_pop(L, 1);
	lua_pushinteger(L, i);
}

/* For `duration` and `size`, which share a shape. */
static void push_scaled(lua_State *L, const struct probe_option *o, const char *text,
			int (*parse)(const char *, uint64_t *, struct error *))
{
	struct error e;
	uint64_t v;
	if (parse(text, &v, &e) < 0)
		bad_value(L, o, text, e.text);
	if (v > INT64_MAX)
		bad_value(L, o, text, "too large");
	lua_pushinteger(L, (lua_Integer)v);
}

static void push_bool(lua_State *L, const struct probe_option *o, const char *text)
{
	struct error e;
	bool v;
	if (parse_bool(text, &v, &e) < 0)
		bad_value(L, o, text, e.text);
	lua_pushboolean(L, v);
}

static void push_value(lua_State *L, const struct probe_option *o, const char *text)
{
	switch (o->type[0]) {
	case 'i':
		push_number(L, o, text, true);
		break;
	case 'n':
		push_number(L, o, text, false);
		break;
	case 'b':
		push_bool(L, o, text);
		break;
	case 'd':
		push_scaled(L, o, text, parse_duration);
		break;
	case 'e':
		push_enum(L, o, text);
		break;
	case 'l':
		push_list(L, text);
		break;
	default:
		if (strcmp(o->type, "size") == 0)
			push_scaled(L, o, text, parse_size);
		else
			lua_pushstring(L, text);
	}
}

static const struct probe_option *find_option(lua_State *L, const struct probe *p, const char *name)
{
	const char *names[PROBE_OPTIONS_MAX + 1];
	for (size_t i = 0; i < p->info.n_options; i++) {
		if (strcmp(p->info.options[i].name, name) == 0)
			return &p->info.options[i];
		names[i] = p->info.options[i].name;
	}
	names[p->info.n_options] = NULL;
	const char *near = nearest_word(name, names);
	luaL_error(L, "probe %s has no option '%s'%s%s%s", p->info.name, name, near ? "; did you mean '" : "", near ? near : "",
		   near ? "'?" : "");
	return NULL;
}

/* One line "key=value" of n bytes; sets the field of the table on top. */
static void apply_line(lua_State *L, struct probe *p, const char *line, size_t n)
{
	if (n == 0)
		return;
	lua_pushlstring(L, line, n);
	const char *key = lua_tostring(L, -1), *eq = strchr(key, '=');
	if (!eq || strlen(key) != n)
		luaL_error(L, "option line '%s' is not of the form key=value", key);
	lua_pushlstring(L, key, (size_t)(eq - key));             /* values line key */
	const struct probe_option *o = find_option(L, p, lua_tostring(L, -1));
	push_value(L, o, eq + 1);
	lua_rawset(L, -4);
	lua_pop(L, 1);
}

static void take_interval(lua_State *L, struct probe *p)
{
	p->interval_ns = INTERVAL_DEFAULT_NS;
	if (raw_field(L, -1, "interval") != LUA_TNIL) {
		if (strcmp(find_option(L, p, "interval")->type, "duration") != 0)
			luaL_error(L, "option interval must be of type duration: it is the sampling period");
		uint64_t ns = (uint64_t)lua_tointeger(L, -1);
		if (ns < INTERVAL_MIN_NS || ns > INTERVAL_MAX_NS)
			luaL_error(L, "option interval must lie between 1ms and 1h");
		p->interval_ns = ns;
	}
	lua_pop(L, 1);
}

void options_push(lua_State *L, struct probe *p, const char *lines)
{
	lua_newtable(L);
	for (size_t i = 0; i < p->info.n_options; i++) {
		const struct probe_option *o = &p->info.options[i];
		if (o->def) {
			push_value(L, o, o->def);
			lua_setfield(L, -2, o->name);
		}
	}
	while (*lines) {
		const char *end = strchrnul(lines, '\n');
		apply_line(L, p, lines, (size_t)(end - lines));
		lines = *end ? end + 1 : end;
	}
	take_interval(L, p);
}
