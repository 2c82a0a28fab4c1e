/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's trace log, line by line, into sightings.
 *
 * A line is, with `-msg timestamp=on`:
 *     TID@SECONDS.MICROSECONDS:NAME ARGUMENTS              7.0 to 10.1: gettid() of the thread that wrote it
 *     2026-11-23T18:30:36.123456Z NAME ARGUMENTS           10.2 and later (g_date_time_format_iso8601; no fraction when it is 0); no thread
 * The stamp is CLOCK_REALTIME cut off to the microsecond: the event was at `time` to `time` + 999 ns. QEMU takes it before it takes
 * the log's lock, writes the line under the lock and flushes it.
 *
 * Guaranteed: sightings come in the file's order; those of one thread ascend unless the clock was set back. Not guaranteed: order
 * among threads: a line may stand behind one of another thread with a later stamp, by as long as its writer waited for the lock.
 *
 * Every byte may be hostile: a line is bounded, numbers are cut to 64 bits, what does not fit its row's format is counted, not taken.
 */
#ifndef BIFOCAL_HOST_TRACE_QEMU_LOG_H
#define BIFOCAL_HOST_TRACE_QEMU_LOG_H

#include "host/trace/qemu_events.h"

enum {
	QEMU_LOG_LINE_MAX = 2048,      /* the longest line of our events has 200 bytes; a longer one is skipped */
	QEMU_LOG_BUCKETS = 256,
};

struct qemu_log {
	struct qemu_events_state *state;
	uint16_t bucket[QEMU_LOG_BUCKETS], next[QEMU_DEVICES_MAX];   /* rows by name: 1 + index, 0 ends */
	uint8_t length[QEMU_DEVICES_MAX];      /* of a row's name */
	bool skipping;                 /* inside a line that is too long */
	uint64_t lines;                /* all, and how they ended: */
	uint64_t sightings;
	uint64_t filtered;             /* our events, but of no interest */
	uint64_t foreign;              /* trace lines of other events */
	uint64_t other;                /* no trace lines: QEMU's warnings, dumps */
	uint64_t malformed;            /* our events in a format that is not ours, or too long */
};

/* `st` outlives it. */
void qemu_log_init(struct qemu_log *l, struct qemu_events_state *st);
/* One line without its newline. True with *out. */
bool qemu_log_line(struct qemu_log *l, const char *line, size_t n, struct sighting *out);

/* Calls `fn` for each sighting in `text`, with the place in it behind its line; non-zero from it ends the call. Returns how many bytes
 * are done with; the rest is a line's beginning and is to be offered again with more behind it; or -1 when `fn` ended it. */
typedef int qemu_log_fn(void *ctx, size_t behind, const struct sighting *s);
ptrdiff_t qemu_log_feed(struct qemu_log *l, const char *text, size_t n, qemu_log_fn *fn, void *ctx);

#endif
