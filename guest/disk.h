/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's block devices, and the one a run works on. */
#ifndef BIFOCAL_GUEST_DISK_H
#define BIFOCAL_GUEST_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/workload.h"

#define DISK_SCRATCH_SERIAL "bifocal-scratch"

enum { DISKS_MAX = 64, DISK_TEXT_MAX = 64 };

struct disk {
	char name[DISK_TEXT_MAX];           /* vdb */
	char serial[DISK_TEXT_MAX];         /* "" if it has none */
	char driver[DISK_TEXT_MAX];         /* of the controller: virtio_blk, ahci … */
	char scheduler[DISK_TEXT_MAX];
	uint64_t size;
	uint32_t logical_block, physical_block, queues;
	bool scratch;                       /* ours to write to */
};

/* Disks of /sys/block in order of name, without memory-backed and empty ones; at most DISKS_MAX. Returns how many. */
unsigned disk_list(const char *root, struct disk *out, unsigned cap);
/* By serial number, else by kernel name. -1 with err when there is none, or when several carry the serial. */
int disk_find(const char *root, const char *serial_or_name, struct disk *out, struct error *err);

struct target {
	char name[DISK_TEXT_MAX];
	char driver[DISK_TEXT_MAX];
	uint32_t device;                    /* major << 20 | minor, as the kernel's events give it; 0 where /sys does not say */
	int fd;
	uint64_t size;                      /* bytes to work on */
};

/* Finds and opens the disk as the workload needs it. A disk that is not the scratch disk is refused for
 * writing unless `destructive`. Close with target_close(). */
int target_open(struct target *t, const char *root, const char *disk, const struct workload *w, bool destructive, struct error *err);
void target_close(struct target *t);

#endif
