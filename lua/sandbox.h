/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A Lua 5.4 state for code that nobody vouches for.
 *
 * Three bounds hold in every call, and the first one met ends it:
 *   memory   bytes of heap in all, and of any one block: what makes a single string or table
 *            operation, which no hook can interrupt, short;
 *   budget   VM instructions, plus what C functions charge for the work they do;
 *   cpu_ns   CPU time of the thread: for the few VM instructions that are cheap to count and slow to
 *            run (a rehash of a large table, a number read from a long string).
 *
 * Once a bound is met the sandbox is dead for good: the count hook fires on every instruction and raises,
 * allocations are refused, and whatever could catch an error (pcall, xpcall, coroutines) raises it again. What is raised is a light
 * userdata, so that raising needs no memory.
 */
#ifndef BIFOCAL_LUA_SANDBOX_H
#define BIFOCAL_LUA_SANDBOX_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct sandbox_limits {
	size_t memory, block;
	uint64_t budget, cpu_ns;
	/* For tests of failing allocation: the number of the one growth that is refused, and of the first
	 * of which all are. 0: none. */
	uint64_t fail_once, fail_from;
};

enum sandbox_end { SANDBOX_ALIVE, SANDBOX_BUDGET, SANDBOX_CPU, SANDBOX_MEMORY };

struct sandbox {
	lua_State *L;
	lua_State *running;        /* the coroutine that runs now; NULL outside calls */
	struct sandbox_limits limits;
	size_t used;
	uint64_t growths;
	uint64_t left;             /* budget left in this call */
	uint64_t checked;          /* TSC when the CPU clock was last asked */
	uint64_t cpu_start;
	bool refused;              /* the last growth was, and Lua may collect and try again */
	enum sandbox_end end;
	char where[96];            /* "cpu.lua:12: " of its end, or of the last growth refused */
};

/* The libraries are open afterwards. On failure the sandbox needs no sandbox_close(). */
int sandbox_open(struct sandbox *sb, const struct sandbox_limits *limits, struct error *err);
/* A zeroed sandbox is fine. */
void sandbox_close(struct sandbox *sb);

/* Calls fn with `arg` as its only argument, a light userdata, with a fresh budget. -1 with err: ERR_LIMIT for a
 * bound, else ERR_PLUGIN; text begins with file and line where a Lua function ran, else with `chunk`. */
int sandbox_call(struct sandbox *sb, lua_CFunction fn, void *arg, const char *chunk, struct error *err);

/* For C functions that Lua calls. */
struct sandbox *sandbox_of(lua_State *L);
/* Takes n off the budget. False when the sandbox is dead; the caller then ends by sandbox_check(). */
bool sandbox_spend(struct sandbox *sb, uint64_t n);
/* Raises if dead. */
void sandbox_check(lua_State *L);
/* Both in one. */
void sandbox_charge(lua_State *L, uint64_t n);

/* Bytes that a C function handles for the price of one VM instruction: measured, to a factor of two. */
enum { SANDBOX_BYTES_PER_STEP = 16 };

/* baselib.c, stringlib.c, tablelib.c: each leaves the stack as it was. */
void baselib_open(lua_State *L);
void stringlib_open(lua_State *L);
void tablelib_open(lua_State *L);
/* Replaces field `name` of the table on top by a function that first charges for its string arguments' lengths. */
void baselib_charge_field(lua_State *L, const char *name);
/* Removes every field of the table on top that is not in `names` (NULL-terminated). */
void baselib_keep(lua_State *L, const char *const names[]);

#endif
