/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A probe from the inside; what the files of this room share. */
#ifndef BIFOCAL_LUA_INTERNAL_H
#define BIFOCAL_LUA_INTERNAL_H

#include "lua/files.h"
#include "lua/probe.h"
#include "lua/sandbox.h"

enum probe_phase { PHASE_START, PHASE_SAMPLE, PHASE_STOP, PHASES };

struct probe {
	struct sandbox sb;
	enum probe_side side;
	struct probe_env env;
	struct files files;
	char chunk[64];
	struct probe_info info;            /* all its memory is the Lua state's, held by `anchor` */
	uint64_t interval_ns;
	/* References into the registry; LUA_NOREF if there is none. */
	int anchor, declared, metric_index, ctx;
	int phase[PHASES];
	bool quarantined;
	struct error fault;                /* why it is quarantined */
};

/* probe_new() with other limits, for tests. */
struct probe *probe_new_limited(enum probe_side side, const char *chunk, const char *source, size_t len, const char *options,
				const struct probe_env *env, const struct sandbox_limits *limits, struct error *err);

extern const char *const phase_names[PHASES + 1];

/* Memory, and a copy of the string at `index`, that live as long as the state. */
void *anchor_alloc(lua_State *L, struct probe *p, size_t size);
const char *anchor_string(lua_State *L, struct probe *p, int index);

/* declare.c: makes `require` and the constructor "bifocal.probe"; the constructor checks a declaration and fills
 * p->info, p->phase and the references. */
void declare_open(lua_State *L, struct probe *p);
/* The tables' fields, without metamethods; pushes the value and returns its type. */
int raw_field(lua_State *L, int table, const char *name);
/* Raises unless each key of the table is one of `names`. `what` names the table in the message. */
void check_keys(lua_State *L, int table, const char *what, const char *const names[]);
void declare_metrics(lua_State *L, struct probe *p, int table);
void declare_options(lua_State *L, struct probe *p, int table);

/* options.c: pushes the table of option values: defaults, overridden by "key=value" lines.
 * Raises on what does not parse; sets p->interval_ns. */
void options_push(lua_State *L, struct probe *p, const char *lines);

/* ctx.c: pushes the object that start, sample and stop get; the options' table is on top and is taken. */
void ctx_push(lua_State *L, struct probe *p);

#endif
