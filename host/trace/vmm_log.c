/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VMM's vantage through QEMU's trace log: QEMU was started with a log file (vm/qemu_args.c), events are switched on over QMP just
 * before the window and off just behind it, and the file is read after it, a piece at a time.
 *
 * The log is bounded: when it has grown past its share of the disk, events are switched off; what was not seen from there on is
 * said by a SIGHT_LOST mark that nobody could count.
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
#include "host/trace/anchor.h"
#include "host/trace/qemu_log.h"
#include "host/trace/sink.h"
#include "host/trace/vmm_events.h"
#include "host/trace/vantage.h"

enum { PIECE = 256 << 10 };
/* 2 GiB are some twenty million lines, two million requests; and never the last of a disk that others write to as well. */
static const uint64_t log_max = UINT64_C(2) << 30, disk_reserve = UINT64_C(64) << 20;

struct vmm_log {
	const struct trace_target *target;
	struct vmm_events events;
	struct anchors anchors;
	struct sight_sink sink;
	int fd;
	uint64_t from, limit;          /* where the window begins in the file; how far it may grow */
	char cut[120];                 /* why events were switched off in the window; "" when they were not */
	uint64_t cut_ns;
};

/* ---- open ---- */

static void close_log(void *self)
{
	struct vmm_log *v = self;

	if (!v)
		return;
	vmm_events_switch(&v->events, false, NULL);
	anchors_fini(&v->anchors);
	sink_fini(&v->sink);
	if (v->fd >= 0)
		close(v->fd);
	free(v);
}

static bool can_see(const struct trace_target *t, char why[TRACE_WHY_MAX])
{
	if (!t->vm) {
		snprintf(why, TRACE_WHY_MAX, "QEMU was started by somebody else, without a trace log; its USDT probes need a build with the dtrace backend");
		return false;
	}
	const char *path = vm_paths(t->vm)->trace_log;
	if (!path[0] || (strcmp(config_str(t->config, CFG_TRACE_VMM), "auto") && strcmp(config_str(t->config, CFG_TRACE_VMM), "log"))) {
		snprintf(why, TRACE_WHY_MAX, "QEMU was started without a trace log; take trace.vmm=log");
		return false;
	}
	if (strchr(path, '%')) {
		snprintf(why, TRACE_WHY_MAX, "QEMU takes no log file with a %% in its path; set TMPDIR to another directory");
		return false;
	}
	if (access(path, R_OK)) {
		/* Only a QEMU with that backend makes the file when nothing else is to be logged. */
		snprintf(why, TRACE_WHY_MAX, "QEMU %u.%u made no trace log: it was built without the log trace backend; name another with vm.qemu=PATH",
			 vm_qemu(t->vm)->major, vm_qemu(t->vm)->minor);
		return false;
	}
	return true;
}

static void *open_log(const struct trace_target *t, char why[TRACE_WHY_MAX])
{
	struct error err = { 0 };

	if (!can_see(t, why))
		return NULL;
	struct vmm_log *v = calloc(1, sizeof(*v));
	if (!v) {
		snprintf(why, TRACE_WHY_MAX, "out of memory");
		return NULL;
	}
	v->target = t;
	v->fd = open(vm_paths(t->vm)->trace_log, O_RDWR | O_CLOEXEC);
	if (v->fd < 0)
		error_sys(&err, errno, "%s", vm_paths(t->vm)->trace_log);
	if (v->fd >= 0 && !anchors_init(&v->anchors, CLOCK_REALTIME, &err) && !vmm_events_find(&v->events, t->vm, &err))
		return v;
	snprintf(why, TRACE_WHY_MAX, "%.*s", TRACE_WHY_MAX - 1, err.text);
	close_log(v);
	return NULL;
}

/* ---- the window ---- */

static uint64_t log_size(const struct vmm_log *v)
{
	struct stat st;

	return fstat(v->fd, &st) ? 0 : (uint64_t)st.st_size;
}

static uint64_t disk_free(const struct vmm_log *v)
{
	struct statvfs fs;

	return fstatvfs(v->fd, &fs) ? UINT64_MAX : (uint64_t)fs.f_bavail * fs.f_frsize;
}

static int start_log(void *self, struct error *err)
{
	struct vmm_log *v = self;
	uint64_t room = disk_free(v);

	if (room < 2 * disk_reserve)
		return error_set(err, ERR_NO_SPACE, "%s: only %llu MiB are free for QEMU's trace log; free some, or set TMPDIR",
				 vm_paths(v->target->vm)->dir, (unsigned long long)(room >> 20));
	v->from = log_size(v);
	v->limit = room / 2 < log_max ? room / 2 : log_max;
	anchors_take(&v->anchors, v->from, true);
	return vmm_events_switch(&v->events, true, err);
}

static void cut_log(struct vmm_log *v, const char *why, uint64_t bytes)
{
	struct timespec now = { 0 };
	struct error err = { 0 };

	if (vmm_events_switch(&v->events, false, &err))
		log_warn("QEMU's trace log: %s", err.text);
	clock_gettime(CLOCK_REALTIME, &now);
	v->cut_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	snprintf(v->cut, sizeof(v->cut), "QEMU's trace log was ended inside the window: %s (%llu MiB)", why, (unsigned long long)(bytes >> 20));
	log_warn("%s", v->cut);
}

static void tick_log(void *self)
{
	struct vmm_log *v = self;
	uint64_t size = log_size(v);

	anchors_take(&v->anchors, size, false);
	if (v->cut[0])
		return;
	if (size > v->from && size - v->from > v->limit)
		cut_log(v, "it grew past its bound", size - v->from);
	else if (disk_free(v) < disk_reserve)
		cut_log(v, "its disk is nearly full", size - v->from);
}

static void stop_log(void *self)
{
	struct vmm_log *v = self;
	struct error err = { 0 };

	if (vmm_events_switch(&v->events, false, &err))
		log_warn("QEMU's trace log: %s", err.text);
	anchors_take(&v->anchors, log_size(v), true);
}

/* ---- into the store ---- */

struct reading {
	struct vmm_log *v;
	struct store_batch *b;
	struct error *err;
	uint64_t base;                 /* where the piece in hand begins in the file */
	size_t anchor;                 /* next to be put */
	uint64_t last_ns;
};

static int add(struct reading *r, const struct sighting *s)
{
	if (sink_add(&r->v->sink, r->b, s, r->err))
		return -1;
	return store_batch_size(r->b) > TRACE_BATCH_BYTES ? store_commit(r->b, r->err) : 0;
}

/* Those that were taken before the log was so long. */
static int add_anchors(struct reading *r, uint64_t behind)
{
	struct anchors *a = &r->v->anchors;

	for (; r->anchor < a->n && a->list[r->anchor].position < behind; r->anchor++) {
		struct sighting s = anchor_sighting(&a->list[r->anchor]);
		if (add(r, &s))
			return -1;
	}
	return 0;
}

static int add_sighting(void *ctx, size_t behind, const struct sighting *s)
{
	struct reading *r = ctx;

	if (add_anchors(r, r->base + behind))
		return -1;
	r->last_ns = s->time;
	return add(r, s);
}

/* Whole lines of the piece; what is left of it moves to the front. */
static int feed(struct reading *r, struct qemu_log *l, char *piece, size_t *n)
{
	ptrdiff_t done = qemu_log_feed(l, piece, *n, add_sighting, r);

	if (done < 0)
		return -1;
	memmove(piece, piece + done, *n - (size_t)done);
	*n -= (size_t)done;
	r->base += (uint64_t)done;
	return 0;
}

static int read_log(struct reading *r, struct qemu_log *l, size_t *left)
{
	autofree char *piece = malloc(PIECE);
	size_t n = 0;

	if (!piece)
		return error_set(r->err, ERR_LIMIT, "out of memory");
	for (;;) {
		ssize_t got = pread(r->v->fd, piece + n, PIECE - n, (off_t)(r->base + n));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_sys(r->err, errno, "%s: read", vm_paths(r->v->target->vm)->trace_log);
		if (got == 0)
			break;
		n += (size_t)got;
		if (feed(r, l, piece, &n))
			return -1;
	}
	*left = n;
	return 0;
}

/* What is behind the last anchor, and what was lost. A last line without its end was cut by a full disk or by QEMU's death. */
static int close_stream(struct reading *r, const struct qemu_log *l, size_t left)
{
	uint64_t lost = l->malformed + (left ? 1 : 0);

	if (add_anchors(r, UINT64_MAX))
		return -1;
	if (lost && sink_lost(&r->v->sink, r->b, r->last_ns, lost, r->err))
		return -1;
	if (r->v->cut[0] && sink_lost(&r->v->sink, r->b, r->v->cut_ns, 0, r->err))
		return -1;
	if (r->v->cut[0] && put_attr(r->b, r->v->sink.run, "trace.vmm.cut", r->v->cut, r->err))
		return -1;
	return sink_flush(&r->v->sink, r->b, r->err);
}

static void say(const struct qemu_log *l, size_t left)
{
	if (l->malformed || left)
		log_warn("QEMU's trace log: %llu lines could not be read%s", (unsigned long long)l->malformed, left ? ", and the last one is cut off" : "");
	log_debug("QEMU's trace log: %llu lines, %llu sightings, %llu of no interest, %llu of other events, %llu no trace", (unsigned long long)l->lines,
		  (unsigned long long)l->sightings, (unsigned long long)l->filtered, (unsigned long long)l->foreign, (unsigned long long)l->other);
}

static int store_log(void *self, struct store_batch *b, uint64_t run, struct loss *loss, struct error *err)
{
	struct vmm_log *v = self;
	struct reading r = { .v = v, .b = b, .err = err, .base = v->from };
	struct qemu_log l;
	size_t left = 0;

	sink_fini(&v->sink);
	if (sink_init(&v->sink, run, (uint16_t)(STREAM_VMM + v->target->moves), VANTAGE_VMM, STREAM_REALTIME, 0, "log", err))
		return -1;
	qemu_log_init(&l, &v->events.state);
	if (read_log(&r, &l, &left) || close_stream(&r, &l, left) || vmm_events_absent(&v->events, b, run, err))
		return -1;
	loss->trace_vmm += v->sink.stream.lost;
	say(&l, left);
	/* The room is given back; QEMU writes on behind it. */
	if (fallocate(v->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)v->from, (off_t)(r.base - v->from)) && errno != EOPNOTSUPP && errno != EINVAL)
		log_debug("QEMU's trace log: %s", strerror(errno));
	return 0;
}

const struct vantage_source vmm_log = {
	.name = "log",
	.vantage = VANTAGE_VMM,
	.again = true,
	.open = open_log,
	.start = start_log,
	.tick = tick_log,
	.stop = stop_log,
	.store = store_log,
	.free = close_log,
};
