/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of bench_guest_init share. */
#ifndef BIFOCAL_BENCH_GUEST_BENCH_H
#define BIFOCAL_BENCH_GUEST_BENCH_H

#include <stdint.h>

struct job_result {
	double iops;
	uint64_t p50_ns, cycles;
};

void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void die(const char *what, const char *why);
/* One run of the workload engine; cycles are those from before its preparation to its end. */
void measure_engine(const char *disk, const char *job, uint64_t hz, struct job_result *out);
/* irqmode 0: complete within the submitting call; 1: in a softirq right after it, so that its interrupt-side function runs. */
void load_null_blk(int irqmode);

void bench_trace(unsigned n, unsigned rounds);

#endif
