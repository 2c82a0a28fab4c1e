// SPDX-License-Identifier: GPL-2.0-or-later
/* ioengine=io_uring: one io_uring_enter(2) submits what is free and waits for what is done. */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "guest/job.h"

/*
 * Closed-loop load enters the kernel for every batch anyway, so completions may wait until then.
 * Open-loop load reaps in user space while it waits for the next arrival: there the kernel has to
 * post completions by itself. A kernel before 6.1 knows neither flag; the plain ring does for both.
 */
static int make_ring(const struct job *j, struct io_uring *ring)
{
	int r = -EINVAL;

#ifdef IORING_SETUP_DEFER_TASKRUN
	if (j->pacing.gap <= 0)
		r = io_uring_queue_init(j->depth, ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
#endif
	return r == -EINVAL ? io_uring_queue_init(j->depth, ring, 0) : r;
}

static int uring_open(struct job *j, struct error *err)
{
	struct io_uring *ring = calloc(1, sizeof(*ring));

	if (!ring)
		return error_set(err, ERR_LIMIT, "job %u: no memory for its ring", j->index);
	int r = make_ring(j, ring);
	if (r < 0) {
		free(ring);
		return error_sys(err, -r, "job %u: io_uring of %u entries; a kernel without io_uring needs ioengine=libaio or psync", j->index, j->depth);
	}
	j->private = ring;
	/* Both spare a table look-up an I/O, and an old kernel may go without. */
	io_uring_register_ring_fd(ring);
	return 0;
}

static void uring_close(struct job *j)
{
	if (j->private)
		io_uring_queue_exit(j->private);
	free(j->private);
	j->private = NULL;
}

static void prepare(struct job *j, struct io_uring *ring, struct slot *s)
{
	/* Never NULL: the ring has an entry a slot, and a slot is reused only once its entry is. */
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (s->op == IO_READ)
		io_uring_prep_read(sqe, j->fd, s->buf, s->length, s->offset);
	else if (s->op == IO_WRITE)
		io_uring_prep_write(sqe, j->fd, s->buf, s->length, s->offset);
	else
		io_uring_prep_fsync(sqe, j->fd, 0);
	io_uring_sqe_set_data64(sqe, slot_number(j, s));
}

static void fill(struct job *j, struct io_uring *ring)
{
	for (struct slot *s; (s = job_take(j));)
		prepare(j, ring, s);
}

/* Only completions seen before the stamp carry it. */
static void reap(struct job *j, struct io_uring *ring)
{
	unsigned n = io_uring_cq_ready(ring), seen = 0, head;
	struct io_uring_cqe *cqe;

	j->now = tsc_read();
	if (!n)
		return;
	io_uring_for_each_cqe(ring, head, cqe) {
		if (seen++ == n)
			break;
		job_complete(j, &j->slots[io_uring_cqe_get_data64(cqe)], cqe->res, j->now);
	}
	io_uring_cq_advance(ring, n);
}

static bool enter(struct job *j, struct io_uring *ring, unsigned wait)
{
	int r = io_uring_submit_and_wait(ring, wait);

	if (r >= 0 || r == -EINTR || r == -EAGAIN || r == -EBUSY)
		return true;
	job_fail(j, -r);
	return false;
}

static void run_closed(struct job *j, struct io_uring *ring)
{
	while (job_open(j) || job_in_flight(j)) {
		fill(j, ring);
		job_stamp(j);
		if (job_in_flight(j) && !enter(j, ring, 1))
			return;
		reap(j, ring);
	}
}

static void run_open(struct job *j, struct io_uring *ring)
{
	while (job_open(j) || job_in_flight(j)) {
		fill(j, ring);
		bool full = !j->n_idle || !job_open(j);
		if (j->n_fresh)
			job_stamp(j);
		else if (!full || !job_in_flight(j))
			_mm_pause();
		if ((io_uring_sq_ready(ring) || (full && job_in_flight(j))) && !enter(j, ring, full))
			return;
		reap(j, ring);
	}
}

static void uring_run(struct job *j)
{
	if (j->pacing.gap > 0)
		run_open(j, j->private);
	else
		run_closed(j, j->private);
}

const struct engine engine_io_uring = {
	.name = "io_uring",
	.async = true,
	.open = uring_open,
	.run = uring_run,
	.close = uring_close,
};
