/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scratch disk's file: every byte written once with pseudo-random data, so that no read finds a hole, a zero that a
 * device could skip, or two blocks alike; then synced and dropped from the page cache, so that every run starts cold.
 */
#ifndef BIFOCAL_HOST_VM_SCRATCH_H
#define BIFOCAL_HOST_VM_SCRATCH_H

#include "host/vm/rundir.h"
#include "host/vm/vm.h"

/* What disk.dir=auto asks of the run directory. */
struct rundir_need scratch_need(const struct config *c);
/* Makes the file in the run directory or in disk.dir and gives its path; "" for null-co. The run directory's end is the file's end too. */
int scratch_make(const struct config *c, const char *rundir, char *path, size_t cap, struct error *err);

/* Pseudo-random words, never zero, a function of `offset` alone; offset and len are multiples of 8. */
void scratch_pattern(uint64_t offset, void *buf, size_t len);

#endif
