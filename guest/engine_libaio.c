// SPDX-License-Identifier: GPL-2.0-or-later
/* ioengine=libaio: the kernel's older asynchronous interface, io_submit(2) and io_getevents(2). */
#include <errno.h>
#include <libaio.h>
#include <stdlib.h>
#include <time.h>

#include "guest/job.h"

struct aio {
	io_context_t context;
	struct iocb *blocks;          /* one a slot */
	struct iocb **queue;          /* prepared, not yet taken by the kernel */
	struct io_event *events;
	unsigned queued, given;
};

static void aio_free(struct aio *a)
{
	if (a->context)
		io_destroy(a->context);
	free(a->blocks);
	free(a->queue);
	free(a->events);
	free(a);
}

static int aio_open(struct job *j, struct error *err)
{
	struct aio *a = calloc(1, sizeof(*a));

	if (!a)
		goto no_memory;
	a->blocks = calloc(j->depth, sizeof(*a->blocks));
	a->queue = calloc(j->depth, sizeof(struct iocb *));
	a->events = calloc(j->depth, sizeof(*a->events));
	if (!a->blocks || !a->queue || !a->events)
		goto no_memory;
	int r = io_setup((int)j->depth, &a->context);
	if (r < 0) {
		aio_free(a);
		return error_sys(err, -r, "job %u: io_setup of %u events; fs.aio-max-nr may be too small", j->index, j->depth);
	}
	j->private = a;
	return 0;
no_memory:
	if (a)
		aio_free(a);
	return error_set(err, ERR_LIMIT, "job %u: no memory for %u control blocks", j->index, j->depth);
}

static void aio_close(struct job *j)
{
	if (j->private)
		aio_free(j->private);
	j->private = NULL;
}

static void prepare(struct job *j, struct aio *a, struct slot *s)
{
	struct iocb *cb = &a->blocks[slot_number(j, s)];

	if (s->op == IO_READ)
		io_prep_pread(cb, j->fd, s->buf, s->length, (long long)s->offset);
	else if (s->op == IO_WRITE)
		io_prep_pwrite(cb, j->fd, s->buf, s->length, (long long)s->offset);
	else
		io_prep_fsync(cb, j->fd);
	cb->data = s;
	a->queue[a->queued++] = cb;
}

/* The kernel may take fewer than it is given; EAGAIN clears when something was reaped. */
static bool submit(struct job *j, struct aio *a)
{
	while (a->given < a->queued) {
		int r = io_submit(a->context, (long)(a->queued - a->given), a->queue + a->given);
		if (r == -EAGAIN || r == -EINTR)
			return true;
		if (r < 0) {
			job_fail(j, -r);
			return false;
		}
		a->given += (unsigned)r;
	}
	a->queued = a->given = 0;
	return true;
}

/* libaio looks at the ring in user space first, so an empty poll costs no system call. */
static bool reap(struct job *j, struct aio *a, bool wait)
{
	static const struct timespec none = { 0 };
	int n = io_getevents(a->context, wait, (long)j->depth, a->events, wait ? NULL : (struct timespec *)&none);

	j->now = tsc_read();
	if (n < 0 && n != -EINTR) {
		job_fail(j, -n);
		return false;
	}
	for (int i = 0; i < n; i++)
		job_complete(j, a->events[i].data, (int32_t)a->events[i].res, j->now);
	return true;
}

static void aio_run(struct job *j)
{
	struct aio *a = j->private;
	bool closed = j->pacing.gap <= 0;

	while (job_open(j) || job_in_flight(j)) {
		/* Blocks that the kernel has not taken yet stay in front. */
		for (struct slot *s; a->given == 0 && (s = job_take(j));)
			prepare(j, a, s);
		if (j->n_fresh)
			job_stamp(j);
		if (a->queued && !submit(j, a))
			return;
		bool wait = job_in_flight(j) > a->queued - a->given && (closed || !j->n_idle || !job_open(j));
		if (!reap(j, a, wait))
			return;
	}
}

const struct engine engine_libaio = {
	.name = "libaio",
	.async = true,
	.open = aio_open,
	.run = aio_run,
	.close = aio_close,
};
