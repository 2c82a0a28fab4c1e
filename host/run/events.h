/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Life-cycle events inside a run's window, as asked for with `--event AT:DO`: the VM is stopped and continued, its state is saved and
 * taken back, it moves to another QEMU on this node, at a time after the window's opening. One after another: an event whose time comes while another, or the burst of exchanges after it, is under way waits.
 *
 * The snapshot goes into the scratch disk's qcow2 file, under one name; loadvm takes back the last savevm of the same run.
 */
#ifndef BIFOCAL_HOST_RUN_EVENTS_H
#define BIFOCAL_HOST_RUN_EVENTS_H

#include "host/config.h"
#include "host/run/session.h"
#include "host/trace/vantage.h"

enum { RUN_EVENTS_MAX = 128 };

/* E(NAME, name, text) */
#define RUN_EVENT_TABLE(E) \
	E(STOP, stop, "stop the VM") \
	E(CONT, cont, "continue it") \
	E(SAVEVM, savevm, "save its state, disk included") \
	E(LOADVM, loadvm, "take it back to the saved state") \
	E(MIGRATE, migrate, "move it live to a second QEMU on this node")

enum run_event_kind {
#define E(NAME, name, text) RUN_EVENT_##NAME,
	RUN_EVENT_TABLE(E)
#undef E
	RUN_EVENT_KINDS
};
const char *run_event_name(enum run_event_kind k);

struct run_events {
	size_t n;
	struct { uint64_t at_ns; enum run_event_kind what; } item[RUN_EVENTS_MAX];   /* in their order of time */
};

/* "500ms:stop" */
int run_events_add(struct run_events *e, const char *text, struct error *err);
/* Whether they make sense together, and with this configuration: every stop is continued, every loadvm has its savevm, the disk holds
 * snapshots, and the window is long enough. */
int run_events_check(const struct run_events *e, const struct config *c, struct error *err);

/* ---- in the window ---- */

struct event_player;

/* What the events are done to, and what follows a guest that migrates; all of it outlives the player. */
struct event_stage {
	struct vm *vm;
	struct session *session;
	struct vantages *vantages;
	struct trace_target *target;   /* its pid follows */
};
/* NULL without memory. */
struct event_player *event_player_new(const struct run_events *events, const struct event_stage *stage, struct error *err);
void event_player_free(struct event_player *p);                /* NULL is fine */
/* The window opens now. */
void event_player_start(struct event_player *p);
/* The window is over: what did not come to pass does not any more. A VM that stands still goes on, a migration is called off. */
void event_player_stop(struct event_player *p);
/* Attributes event.N.{at,do,began_ns,began_tsc,ended_ns,ended_tsc,error}: as asked; ns after the window's opening; host TSC; QEMU's words if it refused, or why it never
 * came to it. Returns how many failed, -1 with err. */
int event_player_store(const struct event_player *p, struct store_batch *b, uint64_t run, struct error *err);

#endif
