/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tracefs: a private instance of a collector, its buffers, and what a dead collector left.
 *
 * Everything of ours carries its owner in its name: instances "bifocal-PID-START-WHAT", groups of uprobes "bifocal_PID_START", where START
 * is the owner's start time in clock ticks since boot (field 22 of /proc/PID/stat), so that a pid taken anew is not
 * mistaken for it. The owner also holds flock(2) on its instance's directory: a collector in another PID namespace, whose pid means
 * nothing here, is seen to live by that.
 *
 * Buffers overwrite their oldest events: what is lost is counted by the kernel, and marked in the page after it.
 */
#ifndef BIFOCAL_HOST_TRACE_TRACEFS_H
#define BIFOCAL_HOST_TRACE_TRACEFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

enum {
	TRACEFS_ROOT_MAX = 128,
	TRACEFS_NAME_MAX = 96,
	TRACEFS_TEXT_MAX = 1 << 20,    /* of a file read whole: the longest format is some 10 KiB, uprobe_events a line a probe */
	TRACEFS_PAGE_MAX = 64 << 10,   /* of a sub-buffer: 4 KiB unless somebody changed it */
	TRACEFS_CPUS_MAX = 4096,
};

struct tracefs {
	char root[TRACEFS_ROOT_MAX];   /* "": not open */
	bool mounted;                  /* by this call */
};

/* Finds tracefs under /sys/kernel/tracing or /sys/kernel/debug/tracing; where it is mounted nowhere and `may_mount`, it is mounted on the
 * former, and stays. Errors name the remedy: no root, not in this kernel, lockdown. Nothing is held open. */
int tracefs_find(struct tracefs *t, bool may_mount, struct error *err);
/* Whether the clock that both sides share is among the kernel's. */
bool tracefs_has_tsc(const struct tracefs *t);
/* Whether the kernel has it: "block:block_rq_issue". */
bool tracefs_has_event(const struct tracefs *t, const char *event);
/* A file under the root, or under an instance's directory: NUL-terminated, malloc'd. NULL with err. */
char *tracefs_text(const char *dir, const char *file, struct error *err);
/* One write(2) of `text`; files are neither truncated nor made. The kernel's words of refusal (error_log) are not in errno's. */
int tracefs_put(const char *dir, const char *file, const char *text, struct error *err);

struct tracefs_instance {
	char path[TRACEFS_ROOT_MAX + TRACEFS_NAME_MAX + 16];   /* "": none */
	int lock_fd;
	size_t page;                   /* bytes of a sub-buffer, its header included */
	unsigned cpus;
	struct tracefs_cpu { unsigned cpu; int raw_fd; } *cpu;
};

/* Makes "bifocal-PID-START-WHAT" with clock x86-tsc, tracing switched off and no event enabled. */
int tracefs_instance_make(struct tracefs_instance *i, const struct tracefs *t, const char *what, struct error *err);
/* Switches everything off and removes it; a zeroed one, or a second time, is fine. */
void tracefs_instance_remove(struct tracefs_instance *i);
/* Bytes for each CPU's buffer; the kernel rounds up. */
int tracefs_instance_size(struct tracefs_instance *i, uint64_t bytes_per_cpu, struct error *err);
int tracefs_instance_on(struct tracefs_instance *i, bool on, struct error *err);
/* "block:block_rq_issue"; `filter` NULL: none. */
int tracefs_instance_enable(struct tracefs_instance *i, const char *event, const char *filter, struct error *err);
void tracefs_instance_disable_all(struct tracefs_instance *i);
/* Only events of this process's threads from now on, of those that they start too. ERR_NOT_FOUND when it has ended. */
int tracefs_instance_process(struct tracefs_instance *i, pid_t pid, struct error *err);
/* Calls `fn` with the index into i->cpu of every CPU whose buffer is at least half full; one poll(2) when there is none. */
void tracefs_instance_half_full(struct tracefs_instance *i, void (*fn)(void *ctx, unsigned index), void *ctx);
/* The oldest page of i->cpu[index], a begun one too, into `page` (i->page bytes). 1; 0: the buffer is empty; -1 with err. */
int tracefs_instance_page(struct tracefs_instance *i, unsigned index, void *page, struct error *err);

struct tracefs_stats {
	uint64_t entries, read;        /* events in the buffer; events read from it */
	uint64_t overrun;              /* overwritten, or dropped since they found no room: never seen */
};
int tracefs_instance_stats(const struct tracefs_instance *i, unsigned index, struct tracefs_stats *out, struct error *err);

/* The counts of a CPU's "stats"; fields that are missing are 0. */
void tracefs_parse_stats(const char *text, struct tracefs_stats *out);
/* Bytes of a sub-buffer by "events/header_page"; 0 when it cannot be told. */
size_t tracefs_parse_page_size(const char *header_page);

/* "bifocal_PID_START": this process's group of uprobes. Returns dst. */
char *tracefs_group(char dst[TRACEFS_NAME_MAX]);
/* Removes the uprobes and kprobes of a group, disabled first. Returns how many were removed. */
int tracefs_group_remove(const struct tracefs *t, const char *group);

/* Removes the instances and groups of dead owners. Returns how many. */
int tracefs_sweep(const struct tracefs *t);

#endif
