/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VMM's vantage through QEMU's `simple` trace backend: a binary file, about a third of the log's bytes and no formatting in QEMU.
 *
 * Nothing of it is on QEMU's command line: an option that a build does not know would end QEMU. The human monitor's `trace-file` command is
 * there in builds with that backend and in no other; it names the file, which is made when the window opens and closed behind it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/loop.h"
#include "host/trace/anchor.h"
#include "host/trace/simple_file.h"
#include "host/trace/sink.h"
#include "host/trace/vantage.h"
#include "host/trace/vmm_events.h"

enum { PIECE = 256 << 10 };
static const uint64_t file_max = UINT64_C(2) << 30, disk_reserve = UINT64_C(64) << 20;

struct vmm_simple {
	const struct trace_target *target;
	struct vmm_events events;
	struct anchors anchors;
	struct sight_sink sink;
	const char *path;
	bool writing;                  /* QEMU has the file open */
	uint64_t cut_ns;               /* events were switched off in the window; 0: they were not */
};

/* ---- QEMU's trace-file command ---- */

/* 0: done; -1 with err, the monitor's own words included. `said` may be NULL. */
static int trace_file(struct vm *vm, const char *what, char **said, struct error *err)
{
	char args[320];
	autofree char *answer = NULL;

	snprintf(args, sizeof(args), "{\"command-line\":\"trace-file %s\"}", what);
	if (vm_qmp(vm, "human-monitor-command", args, &answer, err))
		return -1;
	if (strstr(answer, "unknown command"))
		return error_set(err, ERR_NOT_FOUND, "this QEMU has no trace-file command: it was built without the simple trace backend");
	if (!said && strcmp(answer, "\"\"") != 0)
		return error_set(err, ERR_FAILED, "trace-file %s: QEMU said %.120s", what, answer);
	if (said) {
		*said = answer;
		answer = NULL;
	}
	return 0;
}

static bool plain(const char *path)
{
	return path[0] && !strpbrk(path, "\"\\' \t\n");
}

/* ---- open ---- */

static void close_file(void *self)
{
	struct vmm_simple *v = self;

	if (!v)
		return;
	vmm_events_switch(&v->events, false, NULL);
	if (v->writing && vm_alive(v->target->vm, NULL))
		trace_file(v->target->vm, "off", NULL, NULL);
	anchors_fini(&v->anchors);
	sink_fini(&v->sink);
	unlink(v->path);
	free(v);
}

static bool can_see(const struct trace_target *t, struct error *err)
{
	autofree char *said = NULL;

	if (!t->vm) {
		error_set(err, ERR_NOT_FOUND, "QEMU was started by somebody else, whose monitor is not ours to use; USDT probes need a build with the dtrace backend");
		return false;
	}
	if (!plain(vm_paths(t->vm)->trace_file)) {
		error_set(err, ERR_USAGE, "%s: QEMU's monitor takes no such file name; set TMPDIR", vm_paths(t->vm)->trace_file);
		return false;
	}
	return trace_file(t->vm, "", &said, err) == 0;
}

static void *open_file(const struct trace_target *t, char why[TRACE_WHY_MAX])
{
	struct error err = { 0 };
	struct vmm_simple *v = can_see(t, &err) ? calloc(1, sizeof(*v)) : NULL;

	if (v) {
		v->target = t;
		v->path = vm_paths(t->vm)->trace_file;
		if (!anchors_init(&v->anchors, CLOCK_MONOTONIC, &err) && !vmm_events_find(&v->events, t->vm, &err))
			return v;
		close_file(v);
	}
	snprintf(why, TRACE_WHY_MAX, "%.*s", TRACE_WHY_MAX - 1, err.text[0] ? err.text : "out of memory");
	return NULL;
}

/* ---- the window ---- */

static int start_file(void *self, struct error *err)
{
	struct vmm_simple *v = self;
	char set[256];

	unlink(v->path);
	snprintf(set, sizeof(set), "set %s", v->path);
	if (trace_file(v->target->vm, set, NULL, err) || trace_file(v->target->vm, "on", NULL, err))
		return -1;
	v->writing = true;
	anchors_take(&v->anchors, 0, true);
	return vmm_events_switch(&v->events, true, err);
}

static bool too_long(const struct vmm_simple *v)
{
	struct stat st;
	struct statvfs fs;

	if (stat(v->path, &st) == 0 && (uint64_t)st.st_size > file_max)
		return true;
	return statvfs(v->target->vm ? vm_paths(v->target->vm)->dir : "/", &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < disk_reserve;
}

static void tick_file(void *self)
{
	struct vmm_simple *v = self;
	struct error err = { 0 };

	anchors_take(&v->anchors, 0, false);
	if (v->cut_ns || !too_long(v))
		return;
	if (vmm_events_switch(&v->events, false, &err))
		log_warn("QEMU's trace file: %s", err.text);
	v->cut_ns = monotonic_ns();
	log_warn("QEMU's trace file was ended inside the window: it grew past its bound, or its disk is nearly full");
}

static void stop_file(void *self)
{
	struct vmm_simple *v = self;
	struct error err = { 0 };

	/* `off` writes out what QEMU still holds. */
	if (vmm_events_switch(&v->events, false, &err) || trace_file(v->target->vm, "off", NULL, &err))
		log_warn("QEMU's trace file: %s", err.text);
	v->writing = false;
	anchors_take(&v->anchors, 0, true);
}

/* ---- into the store ---- */

struct reading {
	struct vmm_simple *v;
	struct store_batch *b;
	struct error *err;
	size_t anchor;
	uint64_t last_ns;
};

static int add(struct reading *r, const struct sighting *s)
{
	if (sink_add(&r->v->sink, r->b, s, r->err))
		return -1;
	return store_batch_size(r->b) > TRACE_BATCH_BYTES ? store_commit(r->b, r->err) : 0;
}

/* This clock never steps, so that anchors find their place by time. */
static int add_anchors(struct reading *r, uint64_t before_ns)
{
	struct anchors *a = &r->v->anchors;

	for (; r->anchor < a->n && a->list[r->anchor].ns < before_ns; r->anchor++) {
		struct sighting s = anchor_sighting(&a->list[r->anchor]);
		if (add(r, &s))
			return -1;
	}
	return 0;
}

static int add_sighting(void *ctx, const struct sighting *s)
{
	struct reading *r = ctx;

	if (add_anchors(r, s->time))
		return -1;
	r->last_ns = s->time;
	return s->kind == SIGHT_LOST ? sink_lost(&r->v->sink, r->b, s->time, s->key, r->err) : add(r, s);
}

/* 0 with the bytes of a cut-off record in *left and the fault in `fault`, if the file's rest could not be told apart. */
static int read_file(struct reading *r, struct simple_file *f, size_t *left, struct error *fault)
{
	autofree uint8_t *piece = malloc(PIECE);
	autoclose int fd = open(r->v->path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;

	if (!piece || fd < 0)
		return piece ? error_sys(r->err, errno, "%s", r->v->path) : error_set(r->err, ERR_LIMIT, "out of memory");
	for (ssize_t got; (got = read(fd, piece + n, PIECE - n)) != 0;) {
		if (got < 0)
			return error_sys(r->err, errno, "%s: read", r->v->path);
		n += (size_t)got;
		ptrdiff_t done = simple_feed(f, piece, n, add_sighting, r, fault);
		if (done < 0)
			return fault->code ? 0 : -1;
		memmove(piece, piece + done, n - (size_t)done);
		n -= (size_t)done;
	}
	*left = n;
	return 0;
}

static int close_stream(struct reading *r, const struct simple_file *f, size_t left, const struct error *fault)
{
	uint64_t lost = f->malformed + (left ? 1 : 0);

	if (add_anchors(r, UINT64_MAX) || (lost && sink_lost(&r->v->sink, r->b, r->last_ns, lost, r->err)))
		return -1;
	if (fault->code)
		log_warn("%s; what follows is lost", fault->text);
	if (fault->code && sink_lost(&r->v->sink, r->b, r->last_ns, 0, r->err))
		return -1;
	if (r->v->cut_ns && sink_lost(&r->v->sink, r->b, r->v->cut_ns, 0, r->err))
		return -1;
	return sink_flush(&r->v->sink, r->b, r->err);
}

static int store_file(void *self, struct store_batch *b, uint64_t run, struct loss *loss, struct error *err)
{
	struct vmm_simple *v = self;
	struct reading r = { .v = v, .b = b, .err = err };
	autofree struct simple_file *f = malloc(sizeof(*f));
	struct error fault = { 0 };
	size_t left = 0;

	if (!f)
		return error_set(err, ERR_LIMIT, "out of memory");
	sink_fini(&v->sink);
	if (sink_init(&v->sink, run, (uint16_t)(STREAM_VMM + v->target->moves), VANTAGE_VMM, STREAM_MONOTONIC, 0, "simple", err))
		return -1;
	simple_init(f, &v->events.state);
	if (read_file(&r, f, &left, &fault) || close_stream(&r, f, left, &fault) || vmm_events_absent(&v->events, b, run, err))
		return -1;
	loss->trace_vmm += v->sink.stream.lost;
	return 0;
}

const struct vantage_source vmm_simple = {
	.name = "simple",
	.vantage = VANTAGE_VMM,
	.again = true,
	.open = open_file,
	.start = start_file,
	.tick = tick_file,
	.stop = stop_file,
	.store = store_file,
	.free = close_file,
};
