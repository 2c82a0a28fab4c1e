/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lua/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/internal.h"

/* What load() needs, for the way through the protected call. */
struct load {
	struct probe *p;
	const char *source, *options;
	size_t len;
	bool declared;            /* from here on a fault is the options', not the file's */
};

/* Runs the file's top level; leaves nothing on the stack. */
static void run_file(lua_State *L, struct probe *p, const struct load *l)
{
	lua_pushfstring(L, "@%s", p->chunk);
	if (luaL_loadbufferx(L, l->source, l->len, lua_tostring(L, -1), "t") != LUA_OK)
		lua_error(L);
	lua_call(L, 0, 1);
	if (p->declared == LUA_NOREF)
		luaL_error(L, "%s: declares no probe; end it with `return probe { … }`", p->chunk);
	lua_rawgeti(L, LUA_REGISTRYINDEX, p->declared);
	if (!lua_rawequal(L, -1, -2))
		luaL_error(L, "%s: does not return the probe it declares; end it with `return probe { … }`", p->chunk);
	lua_settop(L, 1);
}

static int load(lua_State *L)
{
	struct load *l = lua_touserdata(L, 1);
	struct probe *p = l->p;
	declare_open(L, p);
	run_file(L, p, l);
	l->declared = true;
	options_push(L, p, l->options);
	ctx_push(L, p);
	p->ctx = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

static int check_source(const struct probe *p, const char *source, size_t len, struct error *err)
{
	if (len > PROBE_SOURCE_MAX)
		return error_set(err, ERR_LIMIT, "%s: longer than %d bytes", p->chunk, PROBE_SOURCE_MAX);
	if (len && source[0] == LUA_SIGNATURE[0])
		return error_set(err, ERR_PLUGIN, "%s: is Lua bytecode; a probe must be source text", p->chunk);
	return 0;
}

/* Control bytes in a name that may come from a peer must not reach a terminal. */
static void set_chunk(struct probe *p, const char *chunk)
{
	snprintf(p->chunk, sizeof(p->chunk) - 8, "%s", *chunk ? chunk : "probe");
	for (char *c = p->chunk; *c; c++)
		if ((unsigned char)*c < 32 || *c == 127)
			*c = '?';
}

struct probe *probe_new_limited(enum probe_side side, const char *chunk, const char *source, size_t len, const char *options,
				const struct probe_env *env, const struct sandbox_limits *limits, struct error *err)
{
	struct probe *p = calloc(1, sizeof(*p));
	if (!p) {
		error_set(err, ERR_LIMIT, "no memory for a probe");
		return NULL;
	}
	p->side = side;
	p->env = *env;
	p->anchor = p->declared = p->metric_index = p->ctx = LUA_NOREF;
	for (int i = 0; i < PHASES; i++)
		p->phase[i] = LUA_NOREF;
	set_chunk(p, chunk);
	struct load l = { .p = p, .source = source, .len = len, .options = options };
	if (files_init(&p->files, env->root ? env->root : "", err) < 0 || check_source(p, source, len, err) < 0 ||
	    sandbox_open(&p->sb, limits, err) < 0)
		goto fail;
	if (sandbox_call(&p->sb, load, &l, p->chunk, err) < 0) {
		if (err && l.declared && err->code == ERR_PLUGIN)
			err->code = ERR_USAGE;
		goto fail;
	}
	return p;
fail:
	probe_free(p);
	return NULL;
}

struct probe *probe_new(enum probe_side side, const char *chunk, const char *source, size_t len, const char *options,
			const struct probe_env *env, struct error *err)
{
	static const struct sandbox_limits limits = {
		.memory = PROBE_MEMORY_MAX,
		.block = PROBE_BLOCK_MAX,
		.budget = PROBE_BUDGET,
		.cpu_ns = PROBE_CPU_MS * 1000000ull,
	};
	return probe_new_limited(side, chunk, source, len, options, env, &limits, err);
}

void probe_free(struct probe *p)
{
	if (!p)
		return;
	sandbox_close(&p->sb);
	files_fini(&p->files);
	free(p);
}

const struct probe_info *probe_info(const struct probe *p)
{
	return &p->info;
}

int probe_available(struct probe *p, struct error *err)
{
	bool guest = p->side == PROBE_GUEST;
	if (!(guest ? p->info.has_guest : p->info.has_host))
		return 1;
	const char *const *r = guest ? p->info.requires_guest : p->info.requires_host;
	for (; *r; r++)
		if (files_exists(&p->files, *r + strlen("file:"), err) < 0)
			return error_prefix(err, "probe %s requires a file that is not there", p->info.name);
	return 0;
}

uint64_t probe_interval_ns(const struct probe *p)
{
	return p->interval_ns;
}

struct phase_call {
	struct probe *p;
	enum probe_phase phase;
};

static int call_phase(lua_State *L)
{
	const struct phase_call *c = lua_touserdata(L, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, c->p->phase[c->phase]);
	lua_rawgeti(L, LUA_REGISTRYINDEX, c->p->ctx);
	lua_call(L, 1, 0);
	return 0;
}

static int run_phase(struct probe *p, enum probe_phase phase, struct error *err)
{
	struct phase_call c = { p, phase };
	if (p->quarantined)
		return error_set(err, p->fault.code, "quarantined: %s", p->fault.text);
	if (p->phase[phase] == LUA_NOREF)
		return 0;
	if (sandbox_call(&p->sb, call_phase, &c, p->chunk, &p->fault) == 0)
		return 0;
	p->quarantined = true;
	return error_set(err, p->fault.code, "%s", p->fault.text);
}

int probe_start(struct probe *p, struct error *err)
{
	return run_phase(p, PHASE_START, err);
}

int probe_sample(struct probe *p, struct error *err)
{
	return run_phase(p, PHASE_SAMPLE, err);
}

int probe_stop(struct probe *p, struct error *err)
{
	return run_phase(p, PHASE_STOP, err);
}

bool probe_quarantined(const struct probe *p)
{
	return p->quarantined;
}

size_t probe_memory(const struct probe *p)
{
	return p->sb.used;
}
