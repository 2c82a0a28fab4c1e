/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One sighting an event, and how thousands of them are packed: what guest kernel, VMM and host kernel saw.
 *
 * A vantage sees through streams (a CPU's trace buffer, a log); each has its own clock and its own order. Stamps are
 * raw: nothing is converted before it is stored, so that any run can be attributed again.
 *
 * Packed, a chunk is: version u8 (2), count varint, then columns, each preceded by its byte length (u32); "changes" are a column of
 * common/column.h:
 *     time       changes, against the sighting before
 *     kind       u8 each
 *     flags      run lengths (value varint, count varint)
 *     place      u8 each: what (device, sector, length, op) the sighting is about. 0: nothing; 1: a new one, whose values are
 *                the next of the four columns that follow; n >= 2: the one at place n − 2 of the list of the last
 *                SIGHT_PLACES ones, the most recent first. A request's later sightings so cost a few bits
 *     sector     changes, against the last new one's end, in units of 512 bytes
 *     length     changes, against the last new one's
 *     device     run lengths
 *     op         run lengths
 *     key        u8 each: 0: key 0; 1: a new one, the next of the column that follows; n >= 2: recent, as above
 *     new keys   changes, against the last new one
 *     thread     u8 each, and new threads: as key
 * Chunks are independent of each other.
 */
#ifndef BIFOCAL_COMMON_SIGHT_H
#define BIFOCAL_COMMON_SIGHT_H

#include "common/bytes.h"
#include "common/error.h"
#include "common/iorec.h"
#include "common/sight_table.h"

enum sight_kind {
#define S(number, NAME, name, vantage, boundary, text) SIGHT_##NAME = number,
	SIGHT_TABLE(S)
#undef S
	SIGHT_KINDS = 256,     /* kinds are below this */
};

enum sight_syscall {
#define C(number, name) SIGHT_SYS_##name = number,
	SIGHT_SYSCALLS(C)
#undef C
};

/* Why a clock may have broken: `key` of SIGHT_STOPPED. Numbers are stored and permanent. */
enum vm_mark { VM_MARK_STOP = 1, VM_MARK_RESUME = 2, VM_MARK_LOADVM = 3, VM_MARK_MIGRATION = 4, VM_MARK_RESET = 5, VM_MARK_OFFSET = 6 };

/* Numbers are stored and permanent. */
enum vantage { VANTAGE_GUEST = 1, VANTAGE_VMM = 2, VANTAGE_HOST = 3, VANTAGE_MARK = 4 };

/* What a stream's stamps are. Numbers are stored and permanent. */
enum stream_clock { STREAM_GUEST_TSC = 1, STREAM_HOST_TSC = 2, STREAM_REALTIME = 3 /* CLOCK_REALTIME, ns, cut off to the µs */,
		    STREAM_MONOTONIC = 4 /* CLOCK_MONOTONIC, ns */ };   /* host/trace/anchor.h: how 3 and 4 become TSC */

enum sight_flags {
	SIGHT_NO_PLACE = 1,    /* sector and length mean nothing (a flush, an event of a queue) */
};

enum { SIGHT_OP_NONE = 0xff };   /* op of what is no I/O; else enum io_op */

struct sighting {
	uint64_t time;         /* of the stream's clock */
	uint64_t sector;       /* in units of 512 bytes */
	uint64_t key;          /* see the table */
	uint32_t length;       /* bytes */
	uint32_t thread;       /* who was running: the host's tid, the guest's pid; 0 unknown */
	uint32_t device;       /* the kernel's major << 20 | minor; 0 none */
	uint16_t kind;         /* enum sight_kind */
	uint8_t op;            /* enum io_op or SIGHT_OP_NONE */
	uint8_t flags;         /* enum sight_flags */
};

enum {
	/* Little enough that one chunk of each of 400 streams fits into 40 MiB: the join's memory. */
	SIGHT_CHUNK = 2048,
	SIGHT_CHUNK_BYTES = 256 << 10, /* bound of a packed chunk; the worst case is below it */
	SIGHT_PLACES = 254,            /* places and keys remembered; one byte says which */
};

/* "g_issue", "device_start"; "unknown" beyond the table. Static. */
const char *sight_name(unsigned kind);
const char *sight_text(unsigned kind);
enum vantage sight_vantage(unsigned kind);          /* 0 beyond the table */
/* The boundary a kind shows, or -1. */
int sight_boundary(unsigned kind);
const char *sight_syscall_name(unsigned number);
const char *vantage_name(unsigned vantage);         /* "guest.kernel" "vmm" "host.kernel" "mark" */

/* Appends one chunk; n <= SIGHT_CHUNK. What the format cannot say (an unknown kind, op or flag) sets w->bad. */
void sights_pack(struct wbuf *w, const struct sighting *s, size_t n);
/* Unpacks at most `cap`. Returns how many, or -1 with err: hostile input fails, never trips. Times need not ascend. */
int sights_unpack(struct span packed, struct sighting *out, size_t cap, struct error *err);

#endif
