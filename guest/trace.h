/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest kernel's vantage: what a run's requests look like to the guest's block layer and disk driver.
 *
 *   trace.c          a private tracefs instance, from a run's prepare to its release
 *   trace_events.c   which events and kprobes show which sighting, by the disk's driver
 *   trace_size.c     how large the buffers are
 *   trace_send.c     formats, raw pages and counts to the collector
 *   trace_bpf.c      the same sightings by BPF programs, where the kernel can: cheaper for what is traced
 *
 * Nothing is decoded here, and nothing is read while the window is open, unless the buffers are too small for it ("live"). What
 * this kernel does not have is named, with the remedy, and never fails a run.
 */
#ifndef BIFOCAL_GUEST_TRACE_H
#define BIFOCAL_GUEST_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/channel.h"
#include "common/sight.h"
#include "common/workload.h"
#include "guest/sys.h"

#define TRACE_INSTANCE "bifocal"

enum {
	TRACE_EVENTS_MAX = 12,
	TRACE_WHY_MAX = 256,
	TRACE_NAME_MAX = 64,
	/* The longest of those used is 0.9 KiB. */
	TRACE_FORMAT_MAX = 16 << 10,
	/* Largest sub-buffer that newer kernels can be told to have is more; one that large was not made for us. */
	TRACE_PAGE_MAX = 64 << 10,
	/* Of one TRACE_PAGES: an eighth of the channel's ring with its four times larger neighbours, and eight frames. */
	TRACE_BATCH_BYTES = 256 << 10,
	TRACE_CPUS_MAX = 1024,
};

enum trace_state {
	TRACE_OFF,          /* nothing of ours is in the kernel; `absent` may say why */
	TRACE_READY,        /* everything is set up but tracing_on */
	TRACE_ON,
	TRACE_STOPPED,      /* the buffers hold what was seen, until trace_release() */
};

struct trace_event {
	uint8_t sight;                /* enum sight_kind */
	uint32_t id;
	char name[TRACE_NAME_MAX];    /* "block:block_rq_issue" */
	char *format;                 /* heap, NUL-terminated */
};

struct trace_absent {
	uint8_t sight;                /* 0: all of them */
	char why[TRACE_WHY_MAX];
};

struct trace_cpu {
	unsigned cpu;
	int fd;                       /* trace_pipe_raw; -1 not open */
	uint32_t index;               /* of the next TRACE_PAGES */
	uint64_t pages;               /* sent */
};

struct trace_bpf;

struct trace {
	const char *root;
	struct trace_bpf *bpf;        /* NULL: ftrace's ring buffer, as below */
	char source[TRACE_WHY_MAX + 16];   /* as in run_ready */
	enum trace_state state;
	char dir[128];                /* tracefs below root: "/sys/kernel/tracing" */
	int on_fd;                    /* the instance's tracing_on */
	bool had_record_cmd;          /* the kernel-wide option was on, and is put back */
	struct trace_event event[TRACE_EVENTS_MAX];
	struct trace_absent absent[TRACE_EVENTS_MAX];
	unsigned n_events, n_absent;
	struct trace_cpu *cpu;
	unsigned n_cpus;
	uint64_t bytes_per_cpu;       /* of buffer; 0: nothing is traced */
	size_t page_size;
	bool live;                    /* the window does not fit */

	/* sending */
	unsigned events_sent, absent_sent, at_cpu;
	uint8_t *batch;               /* TRACE_BATCH_BYTES */
	size_t batched;               /* bytes in it, of cpu[batch_of], not yet taken by the channel */
	unsigned batch_of;
	uint64_t pages_sent;
};

struct trace_request {
	const char *driver;           /* of the disk's controller: "virtio_blk" */
	const struct workload *w;
	uint64_t size;                /* bytes of the disk to work on */
	uint64_t memory;              /* all buffers together at most; 0: half of what is available */
	bool tracefs;                 /* ftrace even where BPF could */
};

void trace_init(struct trace *t, const char *root);
void trace_fini(struct trace *t);

/* Sets up all that this kernel offers; what it does not is in t->absent. Leftovers of an earlier agent are removed. The
 * records' memory is reserved before. */
void trace_prepare(struct trace *t, const struct trace_request *q);
/* Around the window: one write(2) each. Nothing when nothing is traced. */
void trace_start(struct trace *t);
void trace_stop(struct trace *t);
/* Everything of ours leaves the kernel. Of one that was never prepared, nothing is touched. */
void trace_release(struct trace *t);

/* trace_events.c: enables what shows a sighting, and notes its format, or why there is none. */
void trace_enable_all(struct trace *t, const char *driver);
/* Removes the probes of our group, disabled before. */
void trace_remove_probes(const struct trace *t);
/* Says why a sighting is not there. `why` is cut to fit. */
void trace_say_absent(struct trace *t, uint8_t sight, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* trace_size.c: bytes that one CPU's buffer may have to hold, by the workload on `size` bytes of disk: at the most, and as is likely
 * on a fast node. The two are one where the workload says how many I/Os there are. */
struct trace_need { uint64_t most, likely; };
struct trace_need trace_need(const struct workload *w, uint64_t size);

/* trace_send.c. Each: true when all was queued, false when the channel has no room just now; call again. */
bool trace_send_events(struct trace *t, struct channel *ch, uint64_t run);
/* All that is left, after trace_stop(); with TRACE_END each CPU. */
bool trace_send_rest(struct trace *t, struct channel *ch, uint64_t run);
/* In the window of a live run: true when a buffer is so full that it has to be drained. */
bool trace_is_filling(struct trace *t);
/* Sends the pages that are full; leaves those that are being written. False as above. */
bool trace_send_live(struct trace *t, struct channel *ch, uint64_t run);

#endif
