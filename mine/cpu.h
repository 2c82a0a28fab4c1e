/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a configuration cost the processors, from the samples of probe "cpu" (plugins/cpu.lua): CPU time of QEMU's threads by role
 * on the host, use and steal of the guest's vCPUs. Only samples within the counted window count; host samples find it by the
 * stored offset between the clocks, whose bound is far below any sampling period.
 */
#ifndef BIFOCAL_MINE_CPU_H
#define BIFOCAL_MINE_CPU_H

#include "mine/query.h"

enum { CPU_ROLES_MAX = 12 };

/* Share of one CPU, 1 is one CPU all the time. */
struct cpu_share {
	const char *name;            /* "vCPU", "I/O thread", "Workers", "Main loop"; in the guest "User", "Steal" … */
	double cpus;                 /* mean over the runs that have it, all threads or vCPUs of the name together */
	size_t runs;
};

struct cpu_account {
	struct cpu_share host[CPU_ROLES_MAX], guest[CPU_ROLES_MAX];
	size_t n_host, n_guest;
	double iops;                 /* counted requests a second and run, reads and writes together */
};

int cpu_account_group(struct cpu_account *a, struct store *s, const struct group *g, struct error *err);
/* CPU nanoseconds a request that a share comes to. */
double cpu_ns_per_request(const struct cpu_account *a, const struct cpu_share *s);

#endif
