/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's kernel trace on its way into the store: events are registered, pages decoded into sightings, a stream a CPU.
 *
 * Everything is bounded: CPUs, events, the streams that wait in memory at a time. What does not decode is counted and leaves a
 * SIGHT_LOST mark in its stream. What another collector needs to go on with a run (how records are laid out, how far each CPU
 * came) is put into the same commit as the data: attributes trace.guest.event.ID and intake.trace.CPU.
 */
#ifndef BIFOCAL_HOST_RUN_INTAKE_TRACE_H
#define BIFOCAL_HOST_RUN_INTAKE_TRACE_H

#include "common/message.h"
#include "host/run/loss.h"
#include "store/store.h"

enum {
	TRACE_CPUS_MAX = 4096,         /* x86 kernels' own bound is 8192; QEMU's and KVM's are below ours */
	TRACE_STREAMS_LIVE = 256,      /* a waiting chunk takes 100 KiB; a guest that claims more CPUs gets smaller chunks */
};

struct trace_intake;

/* NULL without memory. */
struct trace_intake *trace_intake_new(uint64_t run, struct error *err);
void trace_intake_free(struct trace_intake *t);
/* Takes up where an earlier collector was when it committed last; what it left that cannot be read is left out. */
int trace_intake_resume(struct trace_intake *t, struct store *s, struct error *err);
/* Block events of other disks are dropped; major << 20 | minor, 0: none are. Before the first pages. */
void trace_intake_device(struct trace_intake *t, uint32_t device);

/* The messages. 0: taken, or refused and counted; 1: malformed, err says how; -1: the batch failed. */
int trace_intake_event(struct trace_intake *t, struct store_batch *b, const struct msg_trace_event *m, struct error *err);
int trace_intake_absent(struct trace_intake *t, struct store_batch *b, const struct msg_trace_absent *m, struct error *err);
int trace_intake_pages(struct trace_intake *t, struct store_batch *b, const struct msg_trace_pages *m, struct loss *loss, struct error *err);
int trace_intake_sights(struct trace_intake *t, struct store_batch *b, const struct msg_trace_sights *m, struct loss *loss, struct error *err);
int trace_intake_end(struct trace_intake *t, struct store_batch *b, const struct msg_trace_end *m, struct loss *loss, struct error *err);

/* All that waits goes into the batch: before each commit, since what is acknowledged must be in it. */
int trace_intake_flush(struct trace_intake *t, struct store_batch *b, struct error *err);
/* Pages that came, good or bad. */
uint64_t trace_intake_page_count(const struct trace_intake *t);

#endif
