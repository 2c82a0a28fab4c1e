/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The binary file of QEMU's `simple` trace backend, version 4 (QEMU 2.9 to 10), into sightings. All little-endian here (the machine's order):
 *
 *     header     u64 ~0, u64 magic 0xf2b177cb0aa429b4, u64 version 4
 *     then records, each with a u64 in front that says which:
 *     0  mapping u64 event id, u32 length, name             all of them come first, before any event
 *     1  event   u64 event id, u64 ns, u32 length, u32 pid, arguments
 *                length counts from the event id to the arguments' end; an argument is a u64, or for text a u32 length and bytes
 *                event id ~0 − 1: dropped; its argument says how many events found no room since the one before
 *
 * The facts are those of QEMU's trace/simple.c and scripts/simpletrace.py. ns is get_clock(): CLOCK_MONOTONIC, so its stream is
 * STREAM_MONOTONIC. pid is the process; nothing says the thread. Records come in the order in which they took room in QEMU's buffer:
 * nearly sorted, a thread's own ascend.
 */
#ifndef BIFOCAL_HOST_TRACE_SIMPLE_FILE_H
#define BIFOCAL_HOST_TRACE_SIMPLE_FILE_H

#include "host/trace/qemu_events.h"

enum {
	SIMPLE_IDS = 16384,            /* QEMU 7.2 has 4,246 events; ids above are foreign */
	SIMPLE_RECORD_MAX = 64 << 10,  /* QEMU's longest is 4 KiB of text; a longer record is a broken file */
	SIMPLE_NAME_MAX = 1024,
};

struct simple_file {
	struct qemu_events_state *state;
	bool begun;                    /* the header was good */
	uint16_t row[SIMPLE_IDS];      /* 1 + index of the first row of an id's name; 0: not ours */
	uint64_t at;                   /* bytes done with */
	uint64_t records, sightings, filtered, foreign, malformed, dropped;
};

void simple_init(struct simple_file *f, struct qemu_events_state *st);
/* Calls `fn` for each sighting, and for dropped events with a SIGHT_LOST; non-zero from it ends the call. Returns how many bytes are done with:
 * the rest is a record's beginning, to be offered again with more behind it. -1 with err (no err when `fn` ended it): what follows cannot
 * be told apart any more. n of SIMPLE_RECORD_MAX + 32 or more always makes progress. */
typedef int simple_fn(void *ctx, const struct sighting *s);
ptrdiff_t simple_feed(struct simple_file *f, const uint8_t *p, size_t n, simple_fn *fn, void *ctx, struct error *err);

#endif
