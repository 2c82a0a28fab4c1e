/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A probe's file as it comes over the port, loaded and run on both sides. */
#include <stdlib.h>
#include <string.h>

#include "lua/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void emit(void *ctx, struct probe *p, const struct probe_metric *m, const char *dims, double value)
{
	size_t *sum = ctx;
	(void)p;
	*sum += strlen(m->name) + strlen(m->unit) + strlen(dims) + (value != value);
}

static int vm_pid(void *ctx)
{
	(void)ctx;
	return 1;
}

static size_t vm_threads(void *ctx, struct probe_thread *out, size_t cap)
{
	(void)ctx;
	if (cap > 0)
		out[0] = (struct probe_thread){ 1, "main", 0, "main" };
	return 1;
}

/* The bounds are smaller than in earnest, so that a fuzzer gets on. */
static const struct sandbox_limits limits = { .memory = 2 << 20, .block = 256 << 10, .budget = 50000, .cpu_ns = 1000000000 };

static void run(enum probe_side side, const char *source, size_t len)
{
	size_t sum = 0;
	const struct probe_env env = { .ctx = &sum, .emit = emit, .root = "/nonexistent", .vm_pid = vm_pid, .vm_threads = vm_threads };
	struct error e = { 0 };
	struct probe *p = probe_new_limited(side, "fuzz.lua", source, len, "", &env, &limits, &e);
	if (!p) {
		if (!e.text[0])
			abort();         /* every refusal has its reason */
		return;
	}
	if (probe_available(p, &e) == 0 || e.text[0])
		if (probe_start(p, &e) == 0 && probe_sample(p, &e) == 0)
			probe_stop(p, &e);
	if (probe_memory(p) > limits.memory)
		abort();
	probe_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	run(PROBE_GUEST, (const char *)data, size);
	run(PROBE_HOST, (const char *)data, size);
	return 0;
}
