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
	SESSION_CLOCK_SAMPLES = 8 * CLOCK_ROUNDS_MAX,
	SESSION_METHODS = 3,
	SESSION_MARKS = SIGHT_CHUNK,   /* marks of a run; more are counted as lost */
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
	unsigned refused_pongs, lost_pongs, clock_rounds, clock_breaks, clock_jumps;

	/* session_clock.c: the methods, in their order there */
	bool methods_open;
	void *method[SESSION_METHODS];
	char method_why[SESSION_METHODS][CLOCK_WHY_MAX];
	unsigned method_missed[SESSION_METHODS];
	struct clock_target target;
	struct clock_wire wire;
	struct clock_four four;
	int vcpu_tid[CLOCK_VCPUS_MAX];
	unsigned vcpus;
	uint64_t pair_id;
	bool paired;
	struct clock_paired pair;

	/* session_events.c: what breaks the clock */
	bool in_window;
	struct sighting mark[SESSION_MARKS];
	size_t marks;
	uint64_t lost_marks;
	struct clock_anchor first_anchor, anchor, before_stop;   /* the first, the last that was noted, the last before a stop */
	struct host_tsc stopped;       /* host TSC at the last STOP, at the latest */
	int64_t stopped_ns;            /* and CLOCK_REALTIME, as QEMU said */
	bool vm_moves;                 /* a migration of ours is under way: its mark is set when it is through */
	bool foreign_stop;             /* we did not announce it */
	/* Where an epoch began with a RESUME after a STOP that nobody had announced: that RESUME's host TSC, at the earliest; 0 elsewhere. */
	uint64_t resumed[CLOCK_EPOCHS_MAX];
	int burst_timer;               /* -1: none */
	unsigned burst;                /* exchanges still to do */
	uint64_t burst_sent_ns;
	void (*on_event)(void *ctx, const struct vm_event *e);
	void *on_event_ctx;
};

/* Pumps the loop until *flag. `what` ends the sentence "waited 15 s for …". */
int session_wait(struct session *s, const bool *flag, uint64_t ms, const char *what, struct error *err);
/* One turn of the loop and a look at everything that ends a wait early. */
int session_turn(struct session *s, struct error *err);

/* session_clock.c */
void session_on_pong(struct session *s, const struct msg_clock_pong *m, struct host_tsc at);
void session_on_paired(struct session *s, const struct msg_clock_paired *m);
/* Sends one ping; its pong sets s->pong. */
int session_ping(struct session *s, struct error *err);
/* KVM's own offset once more: asks nothing of the guest. */
void session_observe_exact(struct session *s);
/* KVM's debugfs is by QEMU's pid. */
void session_reopen_exact(struct session *s);
void session_close_methods(struct session *s);
int session_put_clock(struct session *s, struct store_batch *b, uint64_t run, struct error *err);

/* session_events.c */
/* What QEMU said meanwhile: marks and breaks. */
void session_heed_events(struct session *s);
/* An anchor between CLOCK_REALTIME and the host's TSC, among the marks. */
void session_note_time(struct session *s);
int session_put_marks(struct session *s, struct store_batch *b, uint64_t run, struct error *err);

#endif
