/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a probe declares about itself, checked to the last field. Tables are read without metamethods. */
#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "lua/internal.h"
#include "lua/metric_table.h"

enum { NAME_MAX_LEN = 64, TEXT_MAX_LEN = 512, REQUIRES_MAX = 32, DIMS_MAX = 8 };

const char *const phase_names[PHASES + 1] = { "start", "sample", "stop", NULL };

static const char *const kind_names[] = {
#define K(NAME, name, text) #name,
	METRIC_KINDS(K)
#undef K
	NULL,
};

static const char *const unit_names[] = {
#define U(name, text) #name,
	METRIC_UNITS(U)
#undef U
	NULL,
};

const char *metric_kind_name(enum metric_kind kind)
{
	return (unsigned)kind < sizeof(kind_names) / sizeof(kind_names[0]) - 1 ? kind_names[kind] : "unknown";
}

const char *const *metric_unit_names(void)
{
	return unit_names;
}

int raw_field(lua_State *L, int table, const char *name)
{
	table = lua_absindex(L, table);
	lua_pushstring(L, name);
	return lua_rawget(L, table);
}

void *anchor_alloc(lua_State *L, struct probe *p, size_t size)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, p->anchor);
	void *mem = lua_newuserdatauv(L, size ? size : 1, 0);
	memset(mem, 0, size ? size : 1);
	lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
	lua_pop(L, 1);
	return mem;
}

const char *anchor_string(lua_State *L, struct probe *p, int index)
{
	size_t n;
	const char *s = lua_tolstring(L, index, &n);
	return memcpy(anchor_alloc(L, p, n + 1), s, n + 1);
}

/* ": did you mean 'x'?" or nothing; pushed, so that luaL_error may use it. */
static const char *push_hint(lua_State *L, const char *word, const char *const names[])
{
	const char *near = nearest_word(word, names);
	return near ? lua_pushfstring(L, "; did you mean '%s'?", near) : lua_pushliteral(L, "");
}

void check_keys(lua_State *L, int table, const char *what, const char *const names[])
{
	table = lua_absindex(L, table);
	lua_pushnil(L);
	while (lua_next(L, table)) {
		lua_pop(L, 1);
		if (lua_type(L, -1) != LUA_TSTRING)
			luaL_error(L, "%s: fields have names, this one is a %s", what, luaL_typename(L, -1));
		const char *key = lua_tostring(L, -1);
		size_t i = 0;
		while (names[i] && strcmp(names[i], key) != 0)
			i++;
		if (!names[i])
			luaL_error(L, "%s: unknown field '%s'%s", what, key, push_hint(L, key, names));
	}
}

/* Index in `names` of the string field `name`; raises with the nearest word if it is none. */
static size_t check_word(lua_State *L, int table, const char *what, const char *name, const char *const names[])
{
	if (raw_field(L, table, name) != LUA_TSTRING)
		luaL_error(L, "%s: %s must be a string, not %s", what, name, luaL_typename(L, -1));
	const char *word = lua_tostring(L, -1);
	size_t i = 0;
	while (names[i] && strcmp(names[i], word) != 0)
		i++;
	if (!names[i])
		luaL_error(L, "%s: unknown %s '%s'%s", what, name, word, push_hint(L, word, names));
	lua_pop(L, 1);
	return i;
}

/* A string field of one line, or NULL if it is not there and need not be. */
static const char *check_text(lua_State *L, struct probe *p, int table, const char *what, const char *name, bool needed)
{
	int type = raw_field(L, table, name);
	if (type == LUA_TNIL && !needed) {
		lua_pop(L, 1);
		return NULL;
	}
	if (type != LUA_TSTRING)
		luaL_error(L, "%s: %s must be a string, not %s", what, name, luaL_typename(L, -1));
	const char *s = lua_tostring(L, -1);
	size_t n = lua_rawlen(L, -1);
	if (n == 0 || n > TEXT_MAX_LEN || strlen(s) != n)
		luaL_error(L, "%s: %s must have 1 to %d bytes and no NUL", what, name, TEXT_MAX_LEN);
	s = anchor_string(L, p, -1);
	lua_pop(L, 1);
	return s;
}

/* Names of probes, metrics, dimensions and options go into series, keys and command lines. */
static void check_name(lua_State *L, const char *what, const char *name, size_t len)
{
	bool good = len > 0 && len <= NAME_MAX_LEN && name[0] >= 'a' && name[0] <= 'z';
	for (size_t i = 0; good && i < len; i++)
		good = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') || name[i] == '_' || name[i] == '.';
	if (!good)
		luaL_error(L, "%s '%s': a name is a lower-case letter, then letters, digits, '_' and '.', at most %d", what, name,
			   NAME_MAX_LEN);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The list of strings in the field `name`, NULL-terminated and sorted; empty if there is none. */
static const char **check_list(lua_State *L, struct probe *p, int table, const char *what, const char *name, size_t most)
{
	int type = raw_field(L, table, name);
	if (type != LUA_TNIL && type != LUA_TTABLE)
		luaL_error(L, "%s: %s must be a list of strings, not %s", what, name, luaL_typename(L, -1));
	size_t n = type == LUA_TTABLE ? lua_rawlen(L, -1) : 0;
	if (n > most)
		luaL_error(L, "%s: %s has more than %d entries", what, name, (int)most);
	const char **list = anchor_alloc(L, p, (n + 1) * sizeof(*list));
	for (size_t i = 0; i < n; i++) {
		if (lua_rawgeti(L, -1, (lua_Integer)i + 1) != LUA_TSTRING || strlen(lua_tostring(L, -1)) != lua_rawlen(L, -1))
			luaL_error(L, "%s: %s must be a list of strings; entry %d is none", what, name, (int)i + 1);
		list[i] = anchor_string(L, p, -1);
		lua_pop(L, 1);
	}
	qsort(list, n, sizeof(*list), compare_names);
	lua_pop(L, 1);
	return list;
}

/* How many fields a table has; their keys are strings that check_name() accepts. */
static size_t count_named(lua_State *L, int table, const char *what, size_t most)
{
	size_t n = 0;
	lua_pushnil(L);
	while (lua_next(L, table)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "%ss are declared by name; found a %s as key", what, luaL_typename(L, -2));
		check_name(L, what, lua_tostring(L, -2), lua_rawlen(L, -2));
		if (lua_type(L, -1) != LUA_TTABLE)
			luaL_error(L, "%s '%s' must be a table, not %s", what, lua_tostring(L, -2), luaL_typename(L, -1));
		lua_pop(L, 1);
		if (++n > most)
			luaL_error(L, "more than %d %ss", (int)most, what);
	}
	return n;
}

static void declare_metric(lua_State *L, struct probe *p, struct probe_metric *m, const char *name)
{
	static const char *const fields[] = { "kind", "unit", "dims", "help", NULL };
	int table = lua_gettop(L);
	const char *what = lua_pushfstring(L, "metric '%s'", name);
	check_keys(L, table, what, fields);
	m->name = name;
	m->kind = (enum metric_kind)check_word(L, table, what, "kind", kind_names);
	m->unit = unit_names[check_word(L, table, what, "unit", unit_names)];
	m->help = check_text(L, p, table, what, "help", true);
	const char **dims = check_list(L, p, table, what, "dims", DIMS_MAX);
	for (size_t i = 0; dims[i]; i++) {
		check_name(L, "dimension", dims[i], strlen(dims[i]));
		if (i > 0 && strcmp(dims[i - 1], dims[i]) == 0)
			luaL_error(L, "%s: dimension '%s' is declared twice", what, dims[i]);
	}
	m->dims = dims;
	lua_settop(L, table);
}

static int compare_metrics(const void *a, const void *b)
{
	return strcmp(((const struct probe_metric *)a)->name, ((const struct probe_metric *)b)->name);
}

void declare_metrics(lua_State *L, struct probe *p, int table)
{
	if (raw_field(L, table, "metrics") != LUA_TTABLE)
		luaL_error(L, "probe: metrics must be a table, not %s", luaL_typename(L, -1));
	int metrics = lua_gettop(L);
	size_t n = count_named(L, metrics, "metric", PROBE_METRICS_MAX);
	if (n == 0)
		luaL_error(L, "probe: metrics is empty; declare what the probe emits");
	struct probe_metric *m = anchor_alloc(L, p, n * sizeof(*m));
	size_t i = 0;
	lua_pushnil(L);
	while (lua_next(L, metrics)) {
		const char *name = anchor_string(L, p, -2);
		declare_metric(L, p, &m[i++], name);
		lua_pop(L, 1);
	}
	qsort(m, n, sizeof(*m), compare_metrics);
	p->info.metrics = m;
	p->info.n_metrics = n;
	lua_createtable(L, 0, (int)n);
	for (i = 0; i < n; i++) {
		lua_pushinteger(L, (lua_Integer)i);
		lua_setfield(L, -2, m[i].name);
	}
	p->metric_index = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_settop(L, metrics - 1);
}

static int compare_options(const void *a, const void *b)
{
	return strcmp(((const struct probe_option *)a)->name, ((const struct probe_option *)b)->name);
}

/* The default as text, as if it had been given as "key=value". Lists may be written as tables. */
static const char *default_text(lua_State *L, struct probe *p, const char *what, int table)
{
	switch (raw_field(L, table, "default")) {
	case LUA_TNIL:
		lua_pop(L, 1);
		return NULL;
	case LUA_TBOOLEAN:
		lua_pushstring(L, lua_toboolean(L, -1) ? "true" : "false");
		break;
	case LUA_TNUMBER:
	case LUA_TSTRING:
		lua_tostring(L, -1);
		break;
	default:
		luaL_error(L, "%s: default must be a string, number or boolean, not %s", what, luaL_typename(L, -1));
	}
	if (strlen(lua_tostring(L, -1)) != lua_rawlen(L, -1) || strchr(lua_tostring(L, -1), '\n'))
		luaL_error(L, "%s: default must be one line", what);
	return anchor_string(L, p, -1);
}

static void declare_option(lua_State *L, struct probe *p, struct probe_option *o, const char *name)
{
	static const char *const fields[] = { "type", "default", "help", "values", NULL };
	static const char *const types[] = { "int", "number", "string", "bool", "duration", "size", "enum", "list", NULL };
	int table = lua_gettop(L);
	const char *what = lua_pushfstring(L, "option '%s'", name);
	check_keys(L, table, what, fields);
	o->name = name;
	o->type = types[check_word(L, table, what, "type", types)];
	o->help = check_text(L, p, table, what, "help", true);
	o->values = check_list(L, p, table, what, "values", REQUIRES_MAX);
	o->def = default_text(L, p, what, table);
	if ((strcmp(o->type, "enum") == 0) != (o->values[0] != NULL))
		luaL_error(L, "%s: an enum lists its values, and nothing else does", what);
	lua_settop(L, table);
}

void declare_options(lua_State *L, struct probe *p, int table)
{
	int type = raw_field(L, table, "options");
	if (type != LUA_TNIL && type != LUA_TTABLE)
		luaL_error(L, "probe: options must be a table, not %s", luaL_typename(L, -1));
	int options = lua_gettop(L);
	size_t n = type == LUA_TTABLE ? count_named(L, options, "option", PROBE_OPTIONS_MAX) : 0;
	struct probe_option *o = anchor_alloc(L, p, n * sizeof(*o));
	size_t i = 0;
	lua_pushnil(L);
	while (type == LUA_TTABLE && lua_next(L, options)) {
		const char *name = anchor_string(L, p, -2);
		declare_option(L, p, &o[i++], name);
		lua_pop(L, 1);
	}
	qsort(o, n, sizeof(*o), compare_options);
	p->info.options = o;
	p->info.n_options = n;
	lua_settop(L, options - 1);
}

static const char *const *declare_requires(lua_State *L, struct probe *p, int table, const char *side)
{
	static const char *const sides[] = { "guest", "host", NULL };
	int type = raw_field(L, table, "requires");
	if (type == LUA_TNIL)
		lua_newtable(L);
	else if (type != LUA_TTABLE)
		luaL_error(L, "probe: requires must be a table, not %s", luaL_typename(L, -1));
	check_keys(L, -1, "requires", sides);
	const char **list = check_list(L, p, -1, "requires", side, REQUIRES_MAX);
	for (size_t i = 0; list[i]; i++)
		if (strncmp(list[i], "file:/", 6) != 0)
			luaL_error(L, "requires: '%s' is not of the form file:/path", list[i]);
	lua_settop(L, table);
	return list;
}

/* Checks one half; if it is this side's, keeps its functions. Returns whether there is one. */
static bool declare_half(lua_State *L, struct probe *p, int table, const char *side, bool ours)
{
	int type = raw_field(L, table, side);
	bool any = false;
	if (type != LUA_TNIL && type != LUA_TTABLE)
		luaL_error(L, "probe: %s must be a table of functions, not %s", side, luaL_typename(L, -1));
	if (type == LUA_TTABLE)
		check_keys(L, -1, side, phase_names);
	for (int i = 0; type == LUA_TTABLE && i < PHASES; i++) {
		int field = raw_field(L, -1, phase_names[i]);
		if (field != LUA_TFUNCTION && field != LUA_TNIL)
			luaL_error(L, "%s: %s must be a function, not %s", side, phase_names[i], luaL_typename(L, -1));
		any = any || field == LUA_TFUNCTION;
		if (ours && field == LUA_TFUNCTION)
			p->phase[i] = luaL_ref(L, LUA_REGISTRYINDEX);
		else
			lua_pop(L, 1);
	}
	if (type == LUA_TTABLE && !any)
		luaL_error(L, "probe: %s has none of start, sample and stop", side);
	lua_settop(L, table);
	return any;
}

static void declare_head(lua_State *L, struct probe *p, int table)
{
	struct probe_info *info = &p->info;
	if (raw_field(L, table, "api") != LUA_TNUMBER || lua_tonumber(L, -1) != 1)
		luaL_error(L, "probe: api must be 1; this version of Bifocal knows no other");
	lua_pop(L, 1);
	info->api = 1;
	info->name = check_text(L, p, table, "probe", "name", true);
	check_name(L, "probe", info->name, strlen(info->name));
	info->version = check_text(L, p, table, "probe", "version", true);
	info->license = check_text(L, p, table, "probe", "license", true);
	info->summary = check_text(L, p, table, "probe", "summary", true);
}

/* probe { … }; upvalue 1 is the struct probe. */
static int construct(lua_State *L)
{
	static const char *const fields[] = { "api", "name", "version", "license", "summary", "options", "metrics", "requires",
					      "guest", "host", NULL };
	struct probe *p = lua_touserdata(L, lua_upvalueindex(1));
	luaL_argexpected(L, lua_istable(L, 1), 1, "table");
	if (p->declared != LUA_NOREF)
		return luaL_error(L, "probe declared twice; a file holds one");
	lua_settop(L, 1);
	check_keys(L, 1, "probe", fields);
	declare_head(L, p, 1);
	declare_metrics(L, p, 1);
	declare_options(L, p, 1);
	p->info.requires_guest = declare_requires(L, p, 1, "guest");
	p->info.requires_host = declare_requires(L, p, 1, "host");
	p->info.has_guest = declare_half(L, p, 1, "guest", p->side == PROBE_GUEST);
	p->info.has_host = declare_half(L, p, 1, "host", p->side == PROBE_HOST);
	if (!p->info.has_guest && !p->info.has_host)
		return luaL_error(L, "probe: neither a guest nor a host half");
	lua_pushvalue(L, 1);
	p->declared = luaL_ref(L, LUA_REGISTRYINDEX);
	return 1;
}

/* require(name); upvalue 1 is the table of modules. */
static int require_module(lua_State *L)
{
	luaL_checkstring(L, 1);
	lua_settop(L, 1);
	lua_pushvalue(L, 1);
	if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNIL)
		return luaL_error(L, "module '%s' not found; there is \"bifocal.probe\"", lua_tostring(L, 1));
	return 1;
}

void declare_open(lua_State *L, struct probe *p)
{
	lua_newtable(L);
	p->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_newtable(L);
	lua_pushlightuserdata(L, p);
	lua_pushcclosure(L, construct, 1);
	lua_setfield(L, -2, "bifocal.probe");
	lua_pushcclosure(L, require_module, 1);
	lua_setglobal(L, "require");
}
