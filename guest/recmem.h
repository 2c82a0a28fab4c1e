/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory I/O records wait in. One mapping, kept from run to run and grown when a run needs
 * more, so that the agent's size settles. Every page is touched when it is reserved.
 */
#ifndef BIFOCAL_GUEST_RECMEM_H
#define BIFOCAL_GUEST_RECMEM_H

#include <stddef.h>

#include "common/error.h"
#include "common/iorec.h"
#include "common/workload.h"

enum {
	/* Thirteen million records: minutes of a fast disk. More would be taken from the guest's page cache, which is part
	 * of what direct=0 measures. */
	RECMEM_MAX = 512 << 20,
};

struct recmem {
	struct io_record *records;
	size_t bytes;
};

/* Room for `records` of them, or for as many as half of the memory available and RECMEM_MAX hold.
 * Returns how many there is room for, 0 with err when there is none. */
size_t recmem_reserve(struct recmem *m, uint64_t records, const char *root, struct error *err);
void recmem_fini(struct recmem *m);

/* The most records that a run can need, all jobs together: what number_ios or size say, or what no disk
 * outruns in the time given. `size` is the region's. */
uint64_t recmem_need(const struct workload *w, uint64_t size);
/* I/Os after the ramp that end one job; 0: time does. */
uint64_t recmem_job_limit(const struct workload *w, uint64_t size);

#endif
