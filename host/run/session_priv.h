/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What session.c, session_clock.c and session_store.c share, and nobody else. */
#ifndef BIFOCAL_HOST_RUN_SESSION_PRIV_H
#define BIFOCAL_HOST_RUN_SESSION_PRIV_H

#include "host/run/session.h"

enum {
	SESSION_SLICE_MS = 100,        /* longest sleep between two looks at signals and QEMU */
	SESSION_ANSWER_MS = 15000,     /* an answer that takes no work */
	SESSION_PREPARE_MS = 120000,   /* touching memory and opening disks under emulation */
	SESSION_ABORT_MS = 20000,      /* from RUN_ABORT to RUN_DONE: the I/O in flight ends */
	SESSION_QUIET_MS = 30000,      /* no data for so long: the rest does not come */
	SESSION_CLOCK_SAMPLES = 4 * CLOCK_ROUNDS_MAX,
};

struct probe_answer {
	bool known;
	uint8_t state;                 /* enum probe_state */
	char text[512];
};

struct session {
	struct store *store;
	struct vm *vm;
	struct loop *loop;
	struct link *link;
	struct intake *intake;
	struct guest guest;
	const struct plugins *plugins;

	bool hello_end, ready, done, drained, probes_answered;
	struct session_ready ready_report;
	struct probe_answer answer[PLUGINS_MAX];
	struct error refused;          /* MSG_ERROR */
	struct error lost;             /* the guest is gone */
	bool stopping;                 /* a signal has been heeded already */

	struct clock_track *clock;
	struct clock_sample sample[SESSION_CLOCK_SAMPLES];
	size_t samples;
	uint64_t ping_id;
	struct host_tsc ping_sent;
	bool pong;
	unsigned refused_pongs, lost_pongs, clock_rounds, clock_breaks;
};

/* Pumps the loop until *flag. `what` ends the sentence "waited 15 s for …". */
int session_wait(struct session *s, const bool *flag, uint64_t ms, const char *what, struct error *err);
/* One turn of the loop and a look at everything that ends a wait early. */
int session_turn(struct session *s, struct error *err);
void session_on_pong(struct session *s, const struct msg_clock_pong *m, struct host_tsc at);

#endif
