/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A run from prepare to the last record: disk, memory, threads, window, verification.
 *
 * All calls come from the main thread and none of them waits for I/O; the jobs and the reading
 * back have threads, and say through run->event_fd that a stage is over.
 */
#ifndef BIFOCAL_GUEST_RUN_H
#define BIFOCAL_GUEST_RUN_H

#include <pthread.h>

#include "common/error.h"
#include "common/workload.h"
#include "guest/disk.h"
#include "guest/job.h"
#include "guest/recmem.h"
#include "guest/verify.h"

enum run_state {
	RUN_IDLE,
	RUN_PREPARED,       /* the jobs wait at the gate */
	RUN_WINDOW,
	RUN_VERIFYING,      /* the window is closed, blocks are read back */
	RUN_OVER,           /* result and records stand, until run_release() */
};

/* Where the jobs report that they are set up, and wait to be let go. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	unsigned arrived;
	enum gate_word { GATE_SHUT, GATE_OPEN, GATE_CANCEL } word;
	struct error err;             /* the first of a job that could not be set up */
};

struct run_result {
	uint64_t window_open, ramp_end, window_close;
	uint64_t issued, recorded, dropped, errors, skipped;
	struct error err;             /* code ERR_NONE when the run went as asked */
};

struct run {
	enum run_state state;
	uint64_t id;
	const char *root;
	uint64_t hz;
	struct workload w;
	struct target target;
	struct window window;
	struct gate gate;
	struct verify verify;
	struct job *jobs;
	struct job_thread *threads;
	unsigned n_jobs, n_threads;
	_Atomic unsigned running;
	pthread_t verifier;
	struct recmem memory;
	size_t capacity;              /* records, all jobs together */
	int event_fd;
	bool aborted;
	struct run_result result;
};

struct run_request {
	uint64_t id, seed, hz;        /* hz: guest TSC */
	const char *disk;
	bool destructive;
	struct workload w;
};

int run_init(struct run *r, const char *root, struct error *err);
void run_fini(struct run *r);

/* IDLE or PREPARED (what was prepared is given up) → PREPARED; IDLE after a failure. The caller sees to it that no run goes on. */
int run_prepare(struct run *r, const struct run_request *q, struct error *err);
/* PREPARED → WINDOW. */
void run_start(struct run *r);
/* Ends the run early, whatever its state. A PREPARED one is OVER at once. */
void run_abort(struct run *r);
/* event_fd is readable: goes on to VERIFYING or OVER. */
void run_step(struct run *r);
/* The jobs of the window have ended; run_step() follows. Nothing is read back yet. */
bool run_jobs_ended(const struct run *r);
/* OVER → IDLE: threads, slots and disk are gone, the record memory stays for the next run. */
void run_release(struct run *r);

#endif
