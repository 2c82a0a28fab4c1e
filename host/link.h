/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The collector's end of the two ports: UNIX sockets in the loop, a channel over each.
 *
 * Either port alone works too: what is sent goes to the control port when that is aligned, else to the data
 * port; what arrives is taken from wherever it comes.
 */
#ifndef BIFOCAL_HOST_LINK_H
#define BIFOCAL_HOST_LINK_H

#include <sys/types.h>

#include "common/channel.h"
#include "common/loop.h"
#include "common/tsc.h"

/* Numbers are stored (table `peer`) and permanent. */
enum link_port { LINK_CONTROL = 0, LINK_DATA = 1, LINK_PORTS = 2 };
const char *link_port_name(enum link_port p);

struct link;

struct link_ops {
	/* `at`: host TSC right after the read that completed the message. A reliable message (seq > 0) must be
	 * acknowledged with link_ack() once it is safe. */
	void (*message)(void *ctx, enum link_port port, uint16_t type, struct span payload, uint64_t seq, struct host_tsc at);
	/* As channel_ops.peer_seen. */
	uint64_t (*peer_seen)(void *ctx, enum link_port port, const struct id16 *peer);
	/* The other end closed the socket, or it failed. The port is out of the loop then. */
	void (*closed)(void *ctx, enum link_port port, const char *why);
};

/* Connects. `data` may be NULL: one port then. `self` is this collector's instance; all arguments outlive the link. NULL with err. */
struct link *link_new(struct loop *loop, const struct id16 *self, const char *control, const char *data,
		      const struct link_ops *ops, void *ctx, struct error *err);
void link_free(struct link *l);

/*
 * A guest that moves to another QEMU takes the state of its ports with it: what it has written goes on behind the last byte that the
 * old QEMU gave out, and it never sees the ports close. So the channels go on, too.
 *
 * link_move_prepare() connects to the new QEMU's sockets, before it has the guest: it would tell the guest of a host that is not there.
 * link_move() takes what is left in the old sockets and goes on with the new ones. link_move_cancel(): the guest stays. Bytes for the
 * guest that the old QEMU did not take are lost, as on any port: the channel sends them again.
 */
int link_move_prepare(struct link *l, const char *control, const char *data, struct error *err);
void link_move(struct link *l);
void link_move_cancel(struct link *l);

bool link_open(const struct link *l, enum link_port p);
bool link_synced(const struct link *l, enum link_port p);
/* The instance that the port's peer gave in its SYNC; zeros before that. */
struct id16 link_peer(const struct link *l, enum link_port p);
/* Who made the control port's socket: QEMU's pid in our eyes; 0 where it cannot be told. */
pid_t link_peer_pid(const struct link *l);
const struct channel_stats *link_stats(const struct link *l, enum link_port p);
void link_ack(struct link *l, enum link_port p, uint64_t seq);
/* The channel that commands go to: control when it is aligned, else data when that is, else control. */
struct channel *link_commands(struct link *l);
/* Writes what the channels have queued, as far as the sockets take it. */
void link_flush(struct link *l);
/* Sends the first stamp of a clock exchange, taken as late as can be; *sent is that stamp. */
int link_ping(struct link *l, uint64_t id, struct host_tsc *sent, struct error *err);

#endif
