/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disk under a file: where the host's block events of it are seen.
 *
 * They carry the number of the whole disk, of that device in a stack that has a request queue. A partition leads to its disk, a mapping on one
 * disk (dm-crypt, a logical volume, md of one member) to that disk, btrfs of one device to it, overlayfs to its upper layer's; a loop
 * device and a request-based dm-multipath are disks themselves. What is spread over several disks has no single number, and says so.
 */
#ifndef BIFOCAL_HOST_TRACE_HOST_DISK_H
#define BIFOCAL_HOST_TRACE_HOST_DISK_H

#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

enum { DISK_NAME_MAX = 64 };

struct host_disk {
	uint32_t device;               /* major << 20 | minor, as the kernel's events have it */
	uint32_t part;                 /* the partition or mapping that one came in by; = device if there is none */
	char name[DISK_NAME_MAX];      /* "vda" */
};

/* `sys` is "/sys", or a test's. */
int host_disk_of_number(const char *sys, dev_t number, struct host_disk *out, struct error *err);
/* A regular file, or a block device. ERR_NOT_FOUND with the reason when no single disk is under it. */
int host_disk_of_file(const char *path, struct host_disk *out, struct error *err);
/* QEMU's descriptors of the file, comma-separated, "" if it has none open. `path` NULL: of the one file or disk that the process
 * holds open for writing, if it is one, whose path goes to `found`. -1 when the process cannot be looked into. */
int host_disk_descriptors(pid_t pid, const char *path, char *fds, size_t fds_cap, char *found, size_t found_cap, struct error *err);

#endif
