/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent: two ports, one session, one run at a time, in one event loop.
 *
 *   port.c     a port and its channel            session.c   what each message asks for
 *   agent.c    finds ports, wires all together   run.c       the run and its threads
 *   greet.c    what the guest is                 drain.c     records to the collector
 */
#ifndef BIFOCAL_GUEST_AGENT_H
#define BIFOCAL_GUEST_AGENT_H

#include "common/loop.h"
#include "guest/drain.h"
#include "guest/greet.h"
#include "guest/port.h"
#include "guest/probes.h"
#include "guest/run.h"
#include "guest/trace.h"

struct agent_options {
	const char *port[PORT_COUNT];   /* path or "fd:N"; both NULL: virtio ports are searched for */
	const char *root;               /* "" or a made-up root */
	bool init;                      /* PID 1 of the image */
};

struct agent {
	const struct agent_options *options;
	struct loop *loop;
	struct port port[PORT_COUNT];
	struct greet greet;
	struct run run;
	struct probes probes;
	struct trace trace;
	struct drain drain;

	bool scanning;                  /* virtio ports are searched for, now and whenever one changes */
	int uevents, complain, rescan;  /* netlink socket; timers */
	char complaint[PORT_COUNT][384];/* last said, so that it is said once */
	uint64_t synced_ms[PORT_COUNT]; /* since when a channel is aligned; 0: it is not */

	struct channel *asked_by;       /* where the run's commands came from */
	struct channel *owes_disks;     /* a greeting whose disks are still being found */
	bool disks_settled;
	struct module_loader *loader;   /* disks' modules on their way; NULL none */
	int drain_timer;                /* looks at the trace buffers in a window that they are too small for; -1 none */
	bool draining;                  /* they are drained while it is open */
	bool behind;                    /* the ring was full before all was sent */
	bool start_due;                 /* RUN_START was acknowledged, the window opens next */
	bool poweroff;
};

int agent_init(struct agent *a, const struct agent_options *o, struct error *err);
/* Serves until powered off; or until the descriptors given are all at their end. */
int agent_serve(struct agent *a, struct error *err);
void agent_fini(struct agent *a);

/* session.c: one message from the collector. `seq` as in channel_ops. */
void session_message(struct agent *a, struct channel *ch, uint16_t type, struct span payload, uint64_t seq);
/* session.c: what follows from messages, jobs' ends and room in the rings. */
void session_step(struct agent *a);
/* session.c: sends the disks that a greeting still owes. */
void session_disks(struct agent *a);

struct port *agent_port_of(struct agent *a, const struct channel *ch);
/* Names of the ports in use, blank-separated. */
void agent_port_names(const struct agent *a, char *dst, size_t cap);
/* Where a run's records should go now; NULL while that is better left open. */
struct channel *agent_data_channel(struct agent *a);
/* The window: nothing is written to any port but pongs, and the search for ports rests. */
void agent_quiet(struct agent *a, bool quiet);

#endif
