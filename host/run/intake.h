/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest sends of its runs, on its way into the store: decoded, checked, put into a batch, committed, and only then
 * acknowledged. Everything that comes in is hostile until it has been unpacked; what fails is counted, never stored.
 *
 * The sequence number that becomes safe is committed together with the data, so that a collector killed between the
 * two knows on its return just what it has. Records of a run that an earlier collector began (same agent instance,
 * not yet drained) are taken into that run.
 */
#ifndef BIFOCAL_HOST_RUN_INTAKE_H
#define BIFOCAL_HOST_RUN_INTAKE_H

#include "host/link.h"
#include "host/run/loss.h"
#include "store/store.h"

enum {
	/* Enough that a synced commit costs little beside it, small enough that a killed collector has to fetch little again. */
	INTAKE_BATCH_BYTES = 2 << 20,
	INTAKE_BATCH_MS = 250,
};

struct trace_intake;

struct intake_run {
	uint64_t run;              /* 0: none */
	bool done, drained;
	struct msg_run_done report;    /* valid once done; its text is in done_text */
	char done_text[512];
	uint32_t io_chunks, sample_chunks;   /* next index wanted = number taken or refused so far */
	uint64_t records, samples; /* stored */
	struct trace_intake *trace;    /* NULL until a message of its trace has come */
	uint32_t trace_device;     /* the disk in the guest, major << 20 | minor; 0: not known */
	uint64_t unexpected;       /* messages that fit no run */
	struct loss loss;
};

struct intake;

struct intake *intake_new(struct store *store, struct error *err);
void intake_free(struct intake *in);            /* uncommitted data is dropped: it was not acknowledged */
/* `link` is where acknowledgements go; set it before any message comes, and NULL before the link is freed. */
void intake_attach(struct intake *in, struct link *link);
/* Data of `run` belong to the session in progress. */
void intake_begin(struct intake *in, uint64_t run);

/* The run's disk, as RUN_READY names it: block events of others are dropped. */
void intake_device(struct intake *in, uint32_t device);

/* True: the message was one of a run's data (or a gap) and is dealt with. False: somebody else's; acknowledge it with intake_pass(). */
bool intake_message(struct intake *in, enum link_port port, uint16_t type, struct span payload, uint64_t seq);
/* A reliable message that needs no commit: acknowledged at once, or behind the data that came before it on the same port. */
void intake_pass(struct intake *in, enum link_port port, uint64_t seq);
/* Commits when the batch is big or old enough. */
void intake_tick(struct intake *in);
/* Commits what there is. -1 with err: also what an earlier commit said. */
int intake_commit(struct intake *in, struct error *err);
/* The first commit that failed, code ERR_NONE if none did. */
const struct error *intake_failure(const struct intake *in);
/* The batch, for attributes that belong into the same commit. */
struct store_batch *intake_batch(struct intake *in);

struct intake_run *intake_now(struct intake *in);
/* The run of an earlier collector that data came for; run 0 if none did. */
struct intake_run *intake_late(struct intake *in);
/* monotonic_ns() of the last message of data. */
uint64_t intake_last_ns(const struct intake *in);

/* "00112233…" of an instance; 33 bytes. */
char *instance_text(const struct id16 *id, char dst[33]);
/* Puts the loss account, one attribute a line of the table. */
int put_loss(struct store_batch *b, uint64_t run, const struct loss *loss, struct error *err);
bool loss_any(const struct loss *loss);

#endif
