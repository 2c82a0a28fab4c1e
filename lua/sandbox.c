/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lua/sandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/tsc.h"

enum {
	/* Instructions between two looks at the budget. A coroutine counts its own, so each is charged one period in advance. */
	HOOK_PERIOD = 100,
	/* Some 0.3 ms: the CPU clock is a system call, and worth one no more often than that. */
	CPU_CHECK_CYCLES = 1000000,
	/* What an allocation costs besides its bytes. */
	ALLOCATION_STEPS = 4,
};

static void hook(lua_State *L, lua_Debug *ar);

static uint64_t thread_cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool note_where(struct sandbox *sb, lua_State *L)
{
	lua_Debug ar;
	for (int level = 0; lua_getstack(L, level, &ar); level++) {
		if (lua_getinfo(L, "Sl", &ar) && ar.currentline > 0) {
			snprintf(sb->where, sizeof(sb->where), "%s:%d: ", ar.short_src, ar.currentline);
			return true;
		}
	}
	return false;
}

/* Called from the hook, from C functions and from the allocator, none of which may allocate here:
 * lua_getinfo's "S" and "l" only read, and lua_sethook is made to be called at any instant. */
static void end_sandbox(struct sandbox *sb, enum sandbox_end why)
{
	if (sb->end != SANDBOX_ALIVE)
		return;
	sb->end = why;
	if (!sb->running)
		return;
	if (!note_where(sb, sb->running))
		note_where(sb, sb->L);
	lua_sethook(sb->running, hook, LUA_MASKCOUNT, 1);
}

static bool cpu_spent(struct sandbox *sb)
{
	uint64_t now = tsc_read();
	if (now - sb->checked < CPU_CHECK_CYCLES)
		return false;
	sb->checked = now;
	return thread_cpu_ns() - sb->cpu_start > sb->limits.cpu_ns;
}

bool sandbox_spend(struct sandbox *sb, uint64_t n)
{
	if (sb->end == SANDBOX_ALIVE && n >= sb->left)
		end_sandbox(sb, SANDBOX_BUDGET);
	else if (sb->end == SANDBOX_ALIVE && cpu_spent(sb))
		end_sandbox(sb, SANDBOX_CPU);
	if (sb->end != SANDBOX_ALIVE)
		return false;
	sb->left -= n;
	return true;
}

struct sandbox *sandbox_of(lua_State *L)
{
	return *(struct sandbox **)lua_getextraspace(L);
}

void sandbox_check(lua_State *L)
{
	struct sandbox *sb = sandbox_of(L);
	if (sb->end == SANDBOX_ALIVE)
		return;
	lua_pushlightuserdata(L, sb);
	lua_error(L);
}

void sandbox_charge(lua_State *L, uint64_t n)
{
	if (!sandbox_spend(sandbox_of(L), n))
		sandbox_check(L);
}

static void hook(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	if (sandbox_spend(sandbox_of(L), HOOK_PERIOD))
		return;
	/* This coroutine may not be the one that was running at the end; arm it too. */
	lua_sethook(L, hook, LUA_MASKCOUNT, 1);
	sandbox_check(L);
}

static bool refused_for_test(const struct sandbox *sb)
{
	const struct sandbox_limits *l = &sb->limits;
	return (l->fail_once && sb->growths == l->fail_once) || (l->fail_from && sb->growths >= l->fail_from);
}

/* Lua answers a refusal with a full collection and asks again: the second refusal in a row is final. */
static bool may_grow(struct sandbox *sb, size_t by, size_t to)
{
	sb->growths++;
	if (sb->running && !sandbox_spend(sb, ALLOCATION_STEPS + to / SANDBOX_BYTES_PER_STEP))
		return false;
	bool fits = to <= sb->limits.block && by <= sb->limits.memory - sb->used && !refused_for_test(sb);
	if (!fits && sb->running)
		note_where(sb, sb->running);
	if (!fits && sb->refused)
		end_sandbox(sb, SANDBOX_MEMORY);
	sb->refused = !fits;
	return fits;
}

static void *allocate(void *ctx, void *ptr, size_t osize, size_t nsize)
{
	struct sandbox *sb = ctx;
	size_t old = ptr ? osize : 0;      /* for a new object osize is its type */
	if (nsize == 0) {
		free(ptr);
		sb->used -= old;
		return NULL;
	}
	if (nsize > old && !may_grow(sb, nsize - old, nsize))
		return NULL;
	void *p = realloc(ptr, nsize);
	if (!p)
		return nsize <= old ? ptr : NULL;
	sb->used = sb->used - old + nsize;
	return p;
}

/* Puts file and line before a message that has none: assert(), and errors of C functions that C called. */
static int add_where(lua_State *L)
{
	lua_Debug ar;
	if (lua_type(L, 1) != LUA_TSTRING || sandbox_of(L)->end != SANDBOX_ALIVE)
		return 1;
	for (int level = 1; lua_getstack(L, level, &ar); level++) {
		if (!lua_getinfo(L, "Sl", &ar) || ar.currentline <= 0)
			continue;
		size_t n = strlen(ar.short_src);
		const char *text = lua_tostring(L, 1);
		if (strncmp(text, ar.short_src, n) == 0 && text[n] == ':')
			return 1;
		lua_pushfstring(L, "%s:%d: %s", ar.short_src, ar.currentline, text);
		return 1;
	}
	return 1;
}

static int explain_end(const struct sandbox *sb, const char *where, struct error *err)
{
	switch (sb->end) {
	case SANDBOX_BUDGET:
		return error_set(err, ERR_LIMIT, "%sinstruction budget of %llu spent; do less in one call", where,
				 (unsigned long long)sb->limits.budget);
	case SANDBOX_CPU:
		return error_set(err, ERR_LIMIT, "%sCPU time of %llu ms spent; do less in one call", where,
				 (unsigned long long)(sb->limits.cpu_ns / 1000000));
	default:
		return error_set(err, ERR_LIMIT, "%sout of memory: a probe has %zu bytes, and one string, table or stack of calls %zu",
				 where, sb->limits.memory, sb->limits.block);
	}
}

static int explain(struct sandbox *sb, int status, const char *chunk, struct error *err)
{
	char where[sizeof(sb->where) + 8];
	snprintf(where, sizeof(where), "%.80s: ", chunk);
	if (sb->end != SANDBOX_ALIVE || status == LUA_ERRMEM)
		return explain_end(sb, sb->where[0] ? sb->where : where, err);
	/* No conversion of other values: __tostring would run outside the protected call. */
	if (lua_type(sb->L, -1) != LUA_TSTRING)
		return error_set(err, ERR_PLUGIN, "%serror object is a %s, not a message", where, luaL_typename(sb->L, -1));
	const char *text = lua_tostring(sb->L, -1);
	size_t n = strlen(chunk);
	bool located = strncmp(text, chunk, n) == 0 && text[n] == ':';
	error_set(err, ERR_PLUGIN, "%s%s", located ? "" : where, text);
	/* What a script says must not drive a terminal. */
	for (char *c = err ? err->text : NULL; c && *c; c++)
		*c = (unsigned char)*c < 32 || *c == 127 ? '?' : *c;
	return -1;
}

int sandbox_call(struct sandbox *sb, lua_CFunction fn, void *arg, const char *chunk, struct error *err)
{
	lua_State *L = sb->L;
	sb->left = sb->limits.budget;
	sb->cpu_start = thread_cpu_ns();
	sb->checked = tsc_read();
	sb->refused = false;
	sb->where[0] = 0;
	sb->running = L;
	/* None of these allocates: light functions and light userdata on the stack's reserve. */
	lua_settop(L, 0);
	lua_pushcfunction(L, add_where);
	lua_pushcfunction(L, fn);
	lua_pushlightuserdata(L, arg);
	int status = lua_pcall(L, 1, 0, 1);
	sb->running = NULL;
	int r = status == LUA_OK && sb->end == SANDBOX_ALIVE ? 0 : explain(sb, status, chunk, err);
	lua_settop(L, 0);
	return r;
}

static int open_libraries(lua_State *L)
{
	/* Lua makes this string when an error handler fails, at a point where a memory error would find
	 * no protected call around it; as long as it is alive it need not be made. */
	lua_pushliteral(L, "error in error handling");
	luaL_ref(L, LUA_REGISTRYINDEX);
	baselib_open(L);
	stringlib_open(L);
	tablelib_open(L);
	return 0;
}

int sandbox_open(struct sandbox *sb, const struct sandbox_limits *limits, struct error *err)
{
	*sb = (struct sandbox){ .limits = *limits };
	sb->L = lua_newstate(allocate, sb);
	if (!sb->L)
		return error_set(err, ERR_LIMIT, "no memory for a Lua state");
	*(struct sandbox **)lua_getextraspace(sb->L) = sb;
	lua_sethook(sb->L, hook, LUA_MASKCOUNT, HOOK_PERIOD);
	if (sandbox_call(sb, open_libraries, NULL, "sandbox", err) < 0) {
		sandbox_close(sb);
		return -1;
	}
	return 0;
}

void sandbox_close(struct sandbox *sb)
{
	if (sb->L)
		lua_close(sb->L);
	sb->L = NULL;
}
