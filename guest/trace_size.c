// SPDX-License-Identifier: GPL-2.0-or-later
/* How much one CPU's buffer may have to hold. */
#include "guest/recmem.h"
#include "guest/trace.h"

/* I/Os a second that one CPU may start and complete while each is traced: a closed loop's rate is not known before. Buffers are
 * made for `most` where there is memory, and said to be too small below `likely`. (An emulated CPU reached 19,000.) */
static const double cpu_iops_most = 200e3, cpu_iops_likely = 100e3;

enum {
	/* bio_queue 60, rq_issue 72, kick 28, irq 28, rq_complete 56 bytes and their share of the page's header; the interrupt may
	 * be asked for more than once a request. */
	REQUEST_BYTES = 320,
	/* A disk that takes no more at once gets a larger I/O in pieces: virtio-blk in QEMU takes 126 segments of 4 KiB. */
	PIECE = 256 << 10,
	/* Less is two pages, and the kernel's least. */
	NEED_MIN = 64 << 10,
};

/* Interrupts of all jobs may come to one CPU: no job's share is taken for a CPU's. */
static uint64_t need_at(const struct workload *w, uint64_t size, double cpu_iops)
{
	double n = (double)recmem_need(w, size), bytes = REQUEST_BYTES * (double)(1 + w->bs / PIECE);

	if (w->runtime) {
		double most = cpu_iops * (double)(w->runtime + w->ramp_time) * 1e-9 + (double)w->iodepth * (double)w->numjobs;
		n = n < most ? n : most;
	}
	double need = n * bytes;
	return need < NEED_MIN ? NEED_MIN : need < 1e15 ? (uint64_t)need : (uint64_t)1e15;
}

struct trace_need trace_need(const struct workload *w, uint64_t size)
{
	return (struct trace_need){ .most = need_at(w, size, cpu_iops_most), .likely = need_at(w, size, cpu_iops_likely) };
}
