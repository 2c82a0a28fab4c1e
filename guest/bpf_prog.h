/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The programs that record what the guest's kernel does, put together for the kernel that runs. */
#ifndef BIFOCAL_GUEST_BPF_PROG_H
#define BIFOCAL_GUEST_BPF_PROG_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/sight.h"

enum { BPF_PROG_MAX = 96, BPF_JUMPS_MAX = 8 };

/* One event, as a program leaves it. All zeros: never written. */
struct bpf_record {
	uint64_t count;               /* of the CPU's clock event: TSC cycles since that began */
	uint64_t where;               /* sector, or the hook's key */
	uint32_t length;              /* bytes */
	uint32_t device;
	uint32_t thread;
	uint16_t op;                  /* REQ_OP_…, and BPF_OP_FLUSHES */
	uint8_t kind;                 /* enum sight_kind */
	uint8_t status;               /* blk_status_t */
};

enum { BPF_OP_FLUSHES = 0x100 };      /* REQ_PREFLUSH */

/* The map `state`: this, then a line a CPU. */
struct bpf_state {
	uint32_t on;
	uint32_t pad;
	uint64_t homeless;            /* events on CPUs that came later */
	uint64_t pad2[6];
};

struct bpf_line {
	uint64_t next;                /* slots asked for; more than there are: lost */
	uint64_t pad[7];              /* a cache line of its own */
};

/* Offsets into the kernel's structs, in bytes. */
struct bpf_layout {
	int16_t bio_sector, bio_size, bio_bdev, bio_opf, bdev_dev;
	int16_t rq_sector, rq_len, rq_flags, rq_queue, queue_disk, disk_major, disk_minor;
	int16_t task_files, files_table, table_fds, file_private, event_prev, event_count;
};

struct bpf_maps {
	int state, records, clock;    /* descriptors */
	unsigned cpus;                /* lines, and regions of records */
	uint32_t slots;               /* records of a region */
};

enum bpf_shape { BPF_SHAPE_BIO, BPF_SHAPE_SPLIT, BPF_SHAPE_REQUEST, BPF_SHAPE_DONE, BPF_SHAPE_KEY, BPF_SHAPE_KEY_OF };

struct bpf_prog {
	struct bpf_insn insn[BPF_PROG_MAX];
	unsigned n;
	unsigned jump[BPF_JUMPS_MAX], n_jumps;   /* to the end */
};

/* Records one event of `kind`. `argument` is the one that a key is read from (BPF_SHAPE_KEY), or through (BPF_SHAPE_KEY_OF). */
void bpf_record_prog(struct bpf_prog *p, const struct bpf_maps *m, const struct bpf_layout *l, enum bpf_shape shape, unsigned argument, uint8_t kind);
/* For BPF_PROG_TEST_RUN: context {descriptor of a perf event}; leaves the event's last reading and count in state's map, at BPF_CAL_*. */
void bpf_calibrate_prog(struct bpf_prog *p, const struct bpf_maps *m, const struct bpf_layout *l);

enum { BPF_CAL_PREV = offsetof(struct bpf_state, pad2), BPF_CAL_COUNT = BPF_CAL_PREV + 8 };

/* What a record says. False: nothing was written there, or it is an event that shows nothing (see host/trace/kernel.c). */
bool bpf_sighting(const struct bpf_record *r, uint64_t base, struct sighting *s);

#endif
