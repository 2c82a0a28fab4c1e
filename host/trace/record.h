/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recording this node's kernel: some trace instances, their pages gathered, and their way into the store.
 *
 * Buffers wait in the kernel until the window is over. One that is more than half full is drained on a tick, into memory at first and then
 * into an unlinked file, so that a long window loses nothing up to RECORD_SPOOL_MAX; past that the kernel overwrites its oldest pages and
 * counts. After recorder_stop() nothing of it is left in the kernel.
 */
#ifndef BIFOCAL_HOST_TRACE_RECORD_H
#define BIFOCAL_HOST_TRACE_RECORD_H

#include "host/trace/pages.h"
#include "host/trace/sink.h"
#include "host/trace/tracefs.h"
#include "store/store.h"

enum {
	RECORD_INSTANCES = 2,
	/* What a collector may take of the kernel's memory on a node that does other things too. */
	RECORD_BUFFERS_MAX = 64 << 20,
	RECORD_CPU_MIN = 64 << 10,
	/* The spool's part in memory, before a file on the very disk that may be measured. */
	RECORD_MEMORY_MAX = 64 << 20,
	RECORD_SPOOL_MAX = 1 << 30,
};

struct recorder {
	struct tracefs_instance instance[RECORD_INSTANCES];
	unsigned instances;
	bool live;                     /* a buffer was drained on a tick */
	uint64_t lost;                 /* events that were never seen: known after recorder_store() */
	struct {
		size_t page;           /* bytes of one */
		uint32_t pages, cap;
		int memory_fd, file_fd;
		uint32_t *next;        /* of the same CPU and instance; UINT32_MAX: the last */
		uint64_t bound;        /* bytes that ticks may fill; what is left holds the last drain */
		bool failed;
	} spool;
	struct record_cpu {
		unsigned cpu;
		uint32_t first, last;  /* pages in the spool; UINT32_MAX: none */
		uint64_t overrun;      /* as the kernel counted at the end */
	} *cpu[RECORD_INSTANCES];
	unsigned cpus[RECORD_INSTANCES];
};

/* Zeroed is not enough: descriptors must be -1. */
void recorder_init(struct recorder *r);
/* Makes an instance (see tracefs_instance_make) with buffers for `bytes` of events, which may all come on one CPU, all buffers together at
 * most `bytes_max`. Returns its index, or -1 with err. */
int recorder_add(struct recorder *r, const struct tracefs *t, const char *what, uint64_t bytes, uint64_t bytes_max, struct error *err);
int recorder_start(struct recorder *r, struct error *err);
void recorder_tick(struct recorder *r);
/* Off, drained, counted, and the instances removed. */
void recorder_stop(struct recorder *r);
void recorder_free(struct recorder *r);        /* any state after recorder_init() is fine, and a second time */

/* As kernel_decode(): at most `cap` sightings of what is left of the page; fewer when it is done. */
typedef size_t record_decode_fn(void *ctx, unsigned instance, struct page_walk *w, struct sighting *out, size_t cap);
/* All pages as streams `first_stream` + CPU, the instances' sightings merged by time; the batch is committed when it is large. */
int recorder_store(struct recorder *r, record_decode_fn *decode, void *ctx, enum vantage vantage, uint16_t first_stream, const char *source,
		   struct store_batch *b, uint64_t run, struct error *err);

#endif
