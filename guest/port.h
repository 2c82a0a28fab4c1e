/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One port to the collector, and its channel: a virtio port, a UNIX socket or a descriptor given.
 *
 * A virtio port whose host side is closed says POLLHUP for ever. So the port is then watched through
 * an edge-triggered epoll descriptor, which wakes once when the host is back, and costs
 * nothing until then. A UNIX socket that broke is connected again by a timer.
 */
#ifndef BIFOCAL_GUEST_PORT_H
#define BIFOCAL_GUEST_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/channel.h"
#include "common/loop.h"
#include "guest/sys.h"

enum port_role { PORT_CONTROL, PORT_DATA, PORT_COUNT };

enum port_state {
	PORT_ABSENT,        /* no device or socket known */
	PORT_CALLING,       /* a socket that does not answer yet */
	PORT_WAITING,       /* open, the host side is closed */
	PORT_OPEN,
};

struct port_owner {
	/* Input was handed to the channel, or output was taken: time for what waits for either. */
	void (*moved)(void *ctx);
	/* It came to PORT_OPEN, or left it. A descriptor that was given and is at its end does not come back. */
	void (*changed)(void *ctx, int role, bool for_good);
	void *ctx;
};

struct port {
	int role;                     /* enum port_role */
	enum port_state state;
	char path[SYS_PATH_MAX];      /* "" when a descriptor was given */
	int fd, edge;                 /* edge: the epoll descriptor; -1 none */
	int tick, retry;              /* timers; -1 none */
	short events;                 /* what the loop watches for */
	bool quiet;                   /* in a run's window nothing is written but pongs */
	uint64_t read_tsc;            /* just after the last read returned */
	struct loop *loop;
	struct channel *channel;
	struct port_owner owner;
};

int port_init(struct port *p, int role, struct loop *loop, const struct id16 *self, const struct channel_ops *ops,
	      const struct port_owner *owner, struct error *err);
void port_fini(struct port *p);
/* A character device or a UNIX socket; goes on trying while a socket is not there. */
int port_use_path(struct port *p, const char *path, struct error *err);
int port_use_fd(struct port *p, int fd, struct error *err);
/* The device is gone. */
void port_drop(struct port *p);

/* Writes what the channel has, as far as the port takes it. */
void port_flush(struct port *p);
/* Nothing is written but answers to clock pings, and no timer of an open or waiting port runs, until it is loud again. */
void port_quiet(struct port *p, bool quiet);

#endif
