/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a record costs the workload: everything that the engine does for one I/O but the system call (choose the offset, two
 * stamps, fill the record), against the two stamps alone, which any measurement needs. In turn, medians.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/loop.h"
#include "guest/job.h"

enum { IOS = 1000000, ROUNDS = 11 };

static double ns_per_io(uint64_t began)
{
	return (double)(monotonic_ns() - began) / IOS;
}

static double cost_of_engine(struct job *j)
{
	j->recorded = 0;
	uint64_t began = monotonic_ns();
	for (unsigned i = 0; i < IOS; i++) {
		struct slot *s = job_take(j);
		job_stamp(j);
		j->now = tsc_read();
		job_complete(j, s, (int32_t)s->length, j->now);
	}
	return ns_per_io(began);
}

static double cost_of_stamps(void)
{
	uint64_t sink = 0;
	uint64_t began = monotonic_ns();
	for (unsigned i = 0; i < IOS; i++) {
		sink ^= tsc_read();
		sink ^= tsc_read();
	}
	__asm__ volatile("" : : "r"(sink));
	return ns_per_io(began);
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(void)
{
	struct workload w;
	struct window window = { .close = UINT64_MAX };
	struct job j;
	struct error err;
	struct io_record *records = calloc(IOS, sizeof(*records));

	workload_default(&w);
	struct job_setup setup = { .w = &w, .window = &window, .fd = -1, .size = 1 << 30, .seed = 1, .hz = 1000000000,
				   .records = records, .capacity = IOS };
	if (!records || job_init(&j, &setup, &err) < 0) {
		fprintf(stderr, "bench_guest_record: cannot set up\n");
		return 1;
	}
	double engine[ROUNDS], stamps[ROUNDS];
	cost_of_engine(&j);            /* touches the memory, as the agent does before the window */
	for (int i = 0; i < ROUNDS; i++) {
		engine[i] = cost_of_engine(&j);
		stamps[i] = cost_of_stamps();
	}
	qsort(engine, ROUNDS, sizeof(double), ascending);
	qsort(stamps, ROUNDS, sizeof(double), ascending);
	double e = engine[ROUNDS / 2], s = stamps[ROUNDS / 2];
	printf("bench engine.record ratio=%.2f (one I/O's record with its stamps %.1f ns, the two stamps alone %.1f ns, so the record %.1f ns; "
	       "median of %d rounds of %d) ok\n", e / s, e, s, e - s, ROUNDS, IOS);
	job_fini(&j);
	free(records);
	return 0;
}
