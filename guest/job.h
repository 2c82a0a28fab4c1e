/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One job: one thread that keeps its I/Os in flight and leaves a record of each.
 *
 * A slot is an I/O's place: buffer and stamps. An engine's life is job_take() until it gives NULL,
 * job_stamp() just before the submitting call, the call, and for each completion job_complete() with
 * a stamp taken just after the reaping call. All memory is there and touched before the window:
 * nothing below allocates, locks or calls the system.
 */
#ifndef BIFOCAL_GUEST_JOB_H
#define BIFOCAL_GUEST_JOB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/iorec.h"
#include "common/tsc.h"
#include "common/workload.h"
#include "guest/pattern.h"
#include "guest/verify.h"

/* The measured stretch, in guest TSC. Written once, before the jobs are let go. */
struct window {
	uint64_t open, ramp_end;
	uint64_t close;               /* nothing is submitted from here on; UINT64_MAX: number_ios ends it */
	atomic_bool stop;             /* the host gave up, or a job cannot go on */
};

struct slot {
	uint64_t submit, intended, offset;
	void *buf;
	uint32_t length;
	uint8_t op, flags;            /* enum io_op, enum io_record_flags */
};

struct engine;

struct job {
	const struct engine *engine;
	void *private;                /* the engine's own */
	const struct workload *w;
	struct window *window;
	struct verify *verify;        /* NULL: verify=none */
	int fd;
	unsigned index;

	struct pattern pattern;
	struct pacing pacing;
	uint64_t limit;               /* I/Os after the ramp; 0: none */

	struct slot *slots;
	uint16_t *idle, *fresh;       /* stacks of slot numbers: free; taken but not yet stamped */
	unsigned depth, n_idle, n_fresh;
	void *buffers;
	size_t buffer_bytes;

	struct io_record *records;    /* borrowed from the run's memory */
	size_t capacity, recorded;
	uint64_t now;                 /* last stamp taken */
	uint64_t started, ended;
	uint64_t issued, counted, dropped, errors, skipped;   /* skipped: intended, never submitted */
	int failed;                   /* errno of a call without which the job could not go on */

	pthread_t thread;
};

struct engine {
	const char *name;
	bool async;                   /* false: one I/O at a time, whatever iodepth says */
	int (*open)(struct job *j, struct error *err);       /* in the job's own thread */
	void (*run)(struct job *j);
	void (*close)(struct job *j);
};

extern const struct engine engine_io_uring, engine_libaio, engine_psync;
const struct engine *engine_find(enum wl_engine which);

struct job_setup {
	const struct workload *w;
	struct window *window;
	struct verify *verify;
	int fd;
	unsigned index;
	uint64_t size, seed, hz, limit;
	struct io_record *records;
	size_t capacity;
};

/* Slots, buffers (filled with random bytes) and pattern. After a failure, too, job_fini() is due. */
int job_init(struct job *j, const struct job_setup *s, struct error *err);
void job_fini(struct job *j);

/* More is to be submitted; on false only what is in flight is waited for. */
static inline bool job_open(const struct job *j)
{
	return j->now < j->window->close && !(j->limit && j->counted >= j->limit) &&
	       !atomic_load_explicit(&j->window->stop, memory_order_relaxed);
}

static inline unsigned job_in_flight(const struct job *j)
{
	return j->depth - j->n_idle;
}

static inline unsigned slot_number(const struct job *j, const struct slot *s)
{
	return (unsigned)(s - j->slots);
}

/* The next I/O, if one is due at j->now and a slot is free. */
struct slot *job_take(struct job *j);
/* All slots taken since the last stamp are submitted now. */
void job_stamp(struct job *j);
/* `result` as the kernel gives it: bytes, or -errno. Frees the slot. */
void job_complete(struct job *j, struct slot *s, int32_t result, uint64_t now);
/* The job cannot go on; all jobs end. */
void job_fail(struct job *j, int errnum);
/* From the window's opening to the last I/O reaped. */
void job_run(struct job *j);

#endif
