// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/run.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "guest/sys.h"

/* Enough for the engines' own frames and the kernel's signal frame; 1024 jobs have to fit into a small guest. */
enum { JOB_STACK = 128 << 10 };

/* No CPU's clock is near it; what a collector says may be anything, and cycles must not overflow. */
static const uint64_t tsc_hz_max = 100000000000;

/* Between letting the jobs go and the window's opening: time for each to wake up. */
static const double wake_seconds_per_job = 20e-6;

struct job_thread {
	struct run *run;
	struct job *job;
};

int run_init(struct run *r, const char *root, struct error *err)
{
	memset(r, 0, sizeof(*r));
	r->root = root;
	r->target.fd = -1;
	pthread_mutex_init(&r->gate.lock, NULL);
	pthread_cond_init(&r->gate.moved, NULL);
	r->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return r->event_fd < 0 ? error_sys(err, errno, "eventfd for a run") : 0;
}

/* Reports, and waits to be let go. False: the run was given up. */
static bool pass_gate(struct gate *g, const struct error *err)
{
	pthread_mutex_lock(&g->lock);
	if (err->code && !g->err.code)
		g->err = *err;
	g->arrived++;
	pthread_cond_broadcast(&g->moved);
	while (g->word == GATE_SHUT)
		pthread_cond_wait(&g->moved, &g->lock);
	bool go = g->word == GATE_OPEN;
	pthread_mutex_unlock(&g->lock);
	return go;
}

static void move_gate(struct gate *g, enum gate_word word)
{
	pthread_mutex_lock(&g->lock);
	g->word = word;
	pthread_cond_broadcast(&g->moved);
	pthread_mutex_unlock(&g->lock);
}

static void *job_main(void *arg)
{
	struct job_thread *t = arg;
	struct job *j = t->job;
	struct error err = { 0 };

	j->engine->open(j, &err);
	if (pass_gate(&t->run->gate, &err) && !err.code) {
		job_run(j);
		if (atomic_fetch_sub(&t->run->running, 1) == 1)
			eventfd_write(t->run->event_fd, 1);
	}
	return NULL;
}

/* Round robin over the CPUs this process may use. */
static void choose_cpu(pthread_attr_t *attr, unsigned index)
{
	cpu_set_t all, one;
	size_t cpu = 0;

	if (sched_getaffinity(0, sizeof(all), &all) < 0 || CPU_COUNT(&all) < 1)
		return;
	for (unsigned left = index % (unsigned)CPU_COUNT(&all); left || !CPU_ISSET(cpu, &all); cpu++)
		left -= CPU_ISSET(cpu, &all) != 0;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	pthread_attr_setaffinity_np(attr, sizeof(one), &one);
}

static int start_thread(struct run *r, unsigned i, struct error *err)
{
	pthread_attr_t attr;

	r->threads[i] = (struct job_thread){ r, &r->jobs[i] };
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, JOB_STACK);
	choose_cpu(&attr, i);
	int e = pthread_create(&r->jobs[i].thread, &attr, job_main, &r->threads[i]);
	pthread_attr_destroy(&attr);
	return e ? error_sys(err, e, "thread of job %u; give a smaller numjobs", i) : 0;
}

static int start_threads(struct run *r, struct error *err)
{
	r->gate.word = GATE_SHUT;
	r->gate.arrived = 0;
	r->gate.err = (struct error){ 0 };
	for (; r->n_threads < r->n_jobs; r->n_threads++)
		if (start_thread(r, r->n_threads, err))
			return -1;
	pthread_mutex_lock(&r->gate.lock);
	while (r->gate.arrived < r->n_threads)
		pthread_cond_wait(&r->gate.moved, &r->gate.lock);
	pthread_mutex_unlock(&r->gate.lock);
	if (!r->gate.err.code)
		return 0;
	*err = r->gate.err;
	return -1;
}

static int make_jobs(struct run *r, const struct run_request *q, struct error *err)
{
	unsigned n = (unsigned)r->w.numjobs;
	size_t each = r->capacity / n;

	r->jobs = calloc(n, sizeof(*r->jobs));
	r->threads = calloc(n, sizeof(*r->threads));
	if (!r->jobs || !r->threads)
		return error_set(err, ERR_LIMIT, "no memory for %u jobs; give a smaller numjobs", n);
	for (unsigned i = 0; i < n; i++) {
		struct job_setup s = {
			.w = &r->w,
			.window = &r->window,
			.verify = r->verify.written ? &r->verify : NULL,
			.fd = r->target.fd,
			.index = i,
			.size = r->target.size,
			.seed = q->seed,
			.hz = q->hz,
			.limit = recmem_job_limit(&r->w, r->target.size),
			.records = r->memory.records + i * each,
			.capacity = each,
		};
		r->n_jobs = i + 1;
		if (job_init(&r->jobs[i], &s, err))
			return -1;
	}
	return 0;
}

static int check_request(const struct run_request *q, struct error *err)
{
	if (workload_check(&q->w, err))
		return -1;
	if (!q->hz)
		return error_set(err, ERR_FAILED, "the guest's TSC frequency is not known yet; ask again");
	if (q->hz > tsc_hz_max)
		return error_set(err, ERR_USAGE, "a TSC of %llu Hz is not to be believed", (unsigned long long)q->hz);
	if (q->w.numjobs > IOREC_JOBS_MAX)
		return error_set(err, ERR_USAGE, "numjobs=%llu: at most %d", (unsigned long long)q->w.numjobs, IOREC_JOBS_MAX);
	return 0;
}

/* Buffers are filled before the window, and where there is no memory left the kernel has nobody to kill but PID 1. */
static int check_memory(const struct run *r, struct error *err)
{
	uint64_t need = r->w.bs * r->w.iodepth * r->w.numjobs, most = sys_memory_available(r->root) / 4 * 3;

	if (need <= most)
		return 0;
	return error_set(err, ERR_LIMIT, "bs=%llu × iodepth=%llu × numjobs=%llu are %llu MiB of I/O buffers, and the guest has %llu MiB to spare; "
			 "give smaller ones, or the guest more memory (vm.memory)", (unsigned long long)r->w.bs, (unsigned long long)r->w.iodepth,
			 (unsigned long long)r->w.numjobs, (unsigned long long)(need >> 20), (unsigned long long)(most >> 20));
}

static int prepare(struct run *r, const struct run_request *q, struct error *err)
{
	r->w = q->w;
	r->hz = q->hz;
	if (target_open(&r->target, r->root, q->disk, &q->w, q->destructive, err))
		return -1;
	if (q->w.verify && verify_init(&r->verify, q->id, q->seed, r->target.size, (uint32_t)q->w.bs, err))
		return -1;
	r->capacity = recmem_reserve(&r->memory, recmem_need(&q->w, r->target.size), r->root, err);
	if (!r->capacity || check_memory(r, err) || make_jobs(r, q, err))
		return -1;
	return start_threads(r, err);
}

int run_prepare(struct run *r, const struct run_request *q, struct error *err)
{
	run_release(r);
	if (check_request(q, err) || prepare(r, q, err)) {
		run_release(r);
		return error_prefix(err, "run %llu", (unsigned long long)q->id);
	}
	r->id = q->id;
	r->state = RUN_PREPARED;
	return 0;
}

static uint64_t cycles(const struct run *r, uint64_t ns)
{
	return (uint64_t)((double)ns * 1e-9 * (double)r->hz);
}

void run_start(struct run *r)
{
	struct window *w = &r->window;

	r->state = RUN_WINDOW;
	atomic_store(&r->running, r->n_jobs);
	w->open = tsc_read() + (uint64_t)(wake_seconds_per_job * (double)r->n_jobs * (double)r->hz);
	w->ramp_end = w->open + cycles(r, r->w.ramp_time);
	w->close = r->w.runtime ? w->ramp_end + cycles(r, r->w.runtime) : UINT64_MAX;
	move_gate(&r->gate, GATE_OPEN);
}

static void join_threads(struct run *r)
{
	for (unsigned i = 0; i < r->n_threads; i++)
		pthread_join(r->jobs[i].thread, NULL);
	r->n_threads = 0;
	for (unsigned i = 0; i < r->n_jobs; i++)
		r->jobs[i].engine->close(&r->jobs[i]);
}

static void set_outcome(struct run *r)
{
	struct run_result *u = &r->result;

	for (unsigned i = 0; i < r->n_jobs && !u->err.code; i++)
		if (r->jobs[i].failed)
			error_sys(&u->err, r->jobs[i].failed, "job %u: %s could not go on", i, r->jobs[i].engine->name);
	if (!u->err.code && r->aborted)
		error_set(&u->err, ERR_INTERRUPTED, "ended early, as asked");
	if (!u->err.code && u->skipped)
		snprintf(u->err.text, sizeof(u->err.text), "%llu I/Os of rate_iops found no free slot before the window closed; the disk is slower than the load, or iodepth too small",
			 (unsigned long long)u->skipped);
}

static void add_up(struct run *r)
{
	struct run_result *u = &r->result;

	*u = (struct run_result){ .window_open = UINT64_MAX };
	for (unsigned i = 0; i < r->n_jobs; i++) {
		const struct job *j = &r->jobs[i];
		u->issued += j->issued;
		u->recorded += j->recorded;
		u->dropped += j->dropped;
		u->errors += j->errors;
		u->skipped += j->skipped;
		if (j->started && j->started < u->window_open)
			u->window_open = j->started;
		if (j->ended > u->window_close)
			u->window_close = j->ended;
	}
	if (u->window_open == UINT64_MAX)
		u->window_open = u->window_close = tsc_read();
	u->ramp_end = r->w.ramp_time && r->window.ramp_end ? r->window.ramp_end : u->window_open;
	set_outcome(r);
}

static void *verifier_main(void *arg)
{
	struct run *r = arg;
	struct error err = { 0 };

	if (verify_read_back(&r->verify, r->target.fd, &r->window.stop, &err))
		r->result.err = err;
	else if (r->verify.bad)
		error_set(&r->result.err, ERR_CORRUPT, "verify=crc32c: %llu of %llu blocks are not what was written, the first at byte %llu",
			  (unsigned long long)r->verify.bad, (unsigned long long)r->verify.checked, (unsigned long long)r->verify.first_bad);
	eventfd_write(r->event_fd, 1);
	return NULL;
}

static void window_over(struct run *r)
{
	join_threads(r);
	add_up(r);
	r->state = RUN_OVER;
	if (!r->verify.written || r->result.err.code)
		return;
	int e = pthread_create(&r->verifier, NULL, verifier_main, r);
	if (e)
		error_sys(&r->result.err, e, "verify=crc32c: thread");
	else
		r->state = RUN_VERIFYING;
}

bool run_jobs_ended(const struct run *r)
{
	return r->state == RUN_WINDOW && atomic_load(&r->running) == 0;
}

void run_step(struct run *r)
{
	eventfd_t n;

	if (eventfd_read(r->event_fd, &n) < 0)
		return;
	if (r->state == RUN_WINDOW) {
		window_over(r);
	} else if (r->state == RUN_VERIFYING) {
		pthread_join(r->verifier, NULL);
		r->state = RUN_OVER;
	}
}

void run_abort(struct run *r)
{
	r->aborted = true;
	atomic_store(&r->window.stop, true);
	if (r->state != RUN_PREPARED)
		return;
	move_gate(&r->gate, GATE_CANCEL);
	join_threads(r);
	add_up(r);
	r->state = RUN_OVER;
}

void run_release(struct run *r)
{
	move_gate(&r->gate, GATE_CANCEL);
	join_threads(r);
	for (unsigned i = 0; i < r->n_jobs; i++)
		job_fini(&r->jobs[i]);
	free(r->jobs);
	free(r->threads);
	r->jobs = NULL;
	r->threads = NULL;
	r->n_jobs = 0;
	verify_fini(&r->verify);
	target_close(&r->target);
	memset(&r->window, 0, sizeof(r->window));
	r->aborted = false;
	r->capacity = 0;
	r->state = RUN_IDLE;
}

void run_fini(struct run *r)
{
	atomic_store(&r->window.stop, true);
	if (r->state == RUN_VERIFYING)
		pthread_join(r->verifier, NULL);
	run_release(r);
	recmem_fini(&r->memory);
	if (r->event_fd >= 0)
		close(r->event_fd);
}
