/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	/* What the host keeps unacknowledged: commands and probes' sources. All the probes of a run (16 of
	 * PROBE_SOURCE_MAX) fit. */
	LINK_RING = 8 << 20,
	/* Reads from one port before the other gets its turn. */
	LINK_READS = 16,
};

struct port {
	struct link *link;
	enum link_port number;
	int fd;                    /* -1: closed */
	int next_fd;               /* of the QEMU that the guest moves to; -1: none */
	short events;              /* as last told to the loop */
	struct channel *channel;
	struct host_tsc read_at;
};

struct link {
	struct loop *loop;
	const struct link_ops *ops;
	void *ctx;
	int timer;
	struct port port[LINK_PORTS];
};

const char *link_port_name(enum link_port p)
{
	return p == LINK_DATA ? "data" : "control";
}

static struct port *port_of(struct link *l, const struct channel *ch)
{
	return l->port[LINK_DATA].channel == ch ? &l->port[LINK_DATA] : &l->port[LINK_CONTROL];
}

static void on_message(void *ctx, struct channel *ch, uint16_t type, struct span payload, uint64_t seq)
{
	struct link *l = ctx;
	struct port *p = port_of(l, ch);
	l->ops->message(l->ctx, p->number, type, payload, seq, p->read_at);
}

static uint64_t on_peer_seen(void *ctx, struct channel *ch, const struct id16 *peer)
{
	struct link *l = ctx;
	return l->ops->peer_seen ? l->ops->peer_seen(l->ctx, port_of(l, ch)->number, peer) : 0;
}

static const struct channel_ops channel_ops = { .message = on_message, .peer_seen = on_peer_seen };

static void port_close(struct port *p, const char *why)
{
	if (p->fd < 0)
		return;
	loop_fd_remove(p->link->loop, p->fd);
	close(p->fd);
	p->fd = -1;
	channel_closed(p->channel);
	if (why)
		p->link->ops->closed(p->link->ctx, p->number, why);
}

static void on_ready(void *ctx, int fd, short revents);

/* Asks for POLLOUT only while something is waiting to go out. */
static void port_watch(struct port *p)
{
	short events = channel_output(p->channel).len ? POLLIN | POLLOUT : POLLIN;
	if (p->fd < 0 || events == p->events)
		return;
	p->events = events;
	if (loop_fd(p->link->loop, p->fd, events, on_ready, p, NULL))
		port_close(p, "the loop refused its socket");
}

static void port_write(struct port *p)
{
	while (p->fd >= 0) {
		struct span out = channel_output(p->channel);
		if (!out.len)
			break;
		ssize_t n = send(p->fd, out.p, out.len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			port_close(p, strerror(errno));
			return;
		}
		if (n <= 0)
			break;
		channel_wrote(p->channel, (size_t)n);
	}
	port_watch(p);
}

static void port_read(struct port *p)
{
	for (int i = 0; i < LINK_READS && p->fd >= 0; i++) {
		size_t room;
		uint8_t *in = channel_input(p->channel, &room);
		ssize_t n = recv(p->fd, in, room, 0);
		p->read_at = host_tsc_now();
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			port_close(p, n < 0 ? strerror(errno) : "the other end closed it");
			return;
		}
		channel_fed(p->channel, (size_t)n);
		/* Little was there, so nothing is there now: spare the call that would say so. */
		if ((size_t)n < room)
			return;
	}
}

static void on_ready(void *ctx, int fd, short revents)
{
	struct port *p = ctx;
	(void)fd;
	if (revents & (POLLIN | POLLHUP | POLLERR))
		port_read(p);
	port_write(p);
}

static void on_tick(void *ctx)
{
	struct link *l = ctx;
	for (int i = 0; i < LINK_PORTS; i++)
		if (l->port[i].fd >= 0)
			channel_tick(l->port[i].channel, monotonic_ns() / 1000000);
	link_flush(l);
}

static int connect_unix(const char *path, struct error *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(sa.sun_path))
		return error_set(err, ERR_USAGE, "socket %s: path is longer than the %zu bytes a UNIX socket may have", path, sizeof(sa.sun_path) - 1);
	strcpy(sa.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_sys(err, errno, "socket");
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		int sys = errno;
		close(fd);
		return error_sys(err, sys, "connect to %s (is the guest's QEMU running, and is no other collector attached?)", path);
	}
	return fd;
}

static int port_open(struct link *l, enum link_port n, const struct id16 *self, const char *path, struct error *err)
{
	struct port *p = &l->port[n];
	p->channel = channel_new(CHANNEL_HOST, self, LINK_RING, &channel_ops, l, err);
	if (!p->channel)
		return -1;
	int fd = connect_unix(path, err);
	if (fd < 0)
		return error_prefix(err, "%s port", link_port_name(n));
	p->fd = fd;
	p->events = POLLIN;
	if (loop_fd(l->loop, p->fd, p->events, on_ready, p, err))
		return -1;
	channel_opened(p->channel);
	port_write(p);
	return 0;
}

struct link *link_new(struct loop *loop, const struct id16 *self, const char *control, const char *data,
		      const struct link_ops *ops, void *ctx, struct error *err)
{
	struct link *l = calloc(1, sizeof(*l));
	if (!l) {
		error_set(err, ERR_LIMIT, "out of memory");
		return NULL;
	}
	*l = (struct link){ .loop = loop, .ops = ops, .ctx = ctx, .timer = -1 };
	for (int i = 0; i < LINK_PORTS; i++)
		l->port[i] = (struct port){ .link = l, .number = (enum link_port)i, .fd = -1, .next_fd = -1 };
	if (port_open(l, LINK_CONTROL, self, control, err) || (data && port_open(l, LINK_DATA, self, data, err)))
		goto fail;
	l->timer = loop_timer(loop, 0, CHANNEL_TICK_MS * 1000000ull, on_tick, l, err);
	if (l->timer < 0)
		goto fail;
	return l;
fail:
	link_free(l);
	return NULL;
}

void link_free(struct link *l)
{
	if (!l)
		return;
	loop_timer_remove(l->loop, l->timer);
	link_move_cancel(l);
	for (int i = 0; i < LINK_PORTS; i++) {
		if (!l->port[i].channel)
			continue;
		port_close(&l->port[i], NULL);
		channel_free(l->port[i].channel);
	}
	free(l);
}

/* ---- another QEMU ---- */

int link_move_prepare(struct link *l, const char *control, const char *data, struct error *err)
{
	const char *path[LINK_PORTS] = { control, data };

	link_move_cancel(l);
	for (int i = 0; i < LINK_PORTS; i++) {
		if (l->port[i].fd < 0)
			continue;
		l->port[i].next_fd = connect_unix(path[i], err);
		if (l->port[i].next_fd < 0) {
			link_move_cancel(l);
			return error_prefix(err, "%s port", link_port_name((enum link_port)i));
		}
	}
	return 0;
}

void link_move_cancel(struct link *l)
{
	for (int i = 0; i < LINK_PORTS; i++) {
		if (l->port[i].next_fd >= 0)
			close(l->port[i].next_fd);
		l->port[i].next_fd = -1;
	}
}

/* To the last byte: the guest's state says that it was given out. */
static void read_rest(struct port *p)
{
	for (;;) {
		size_t room;
		uint8_t *in = channel_input(p->channel, &room);
		ssize_t n = recv(p->fd, in, room, 0);
		p->read_at = host_tsc_now();
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		channel_fed(p->channel, (size_t)n);
	}
}

void link_move(struct link *l)
{
	for (int i = 0; i < LINK_PORTS; i++) {
		struct port *p = &l->port[i];
		if (p->next_fd < 0)
			continue;
		if (p->fd >= 0) {
			read_rest(p);
			loop_fd_remove(l->loop, p->fd);
			close(p->fd);
		}
		p->fd = p->next_fd;
		p->next_fd = -1;
		p->events = 0;
		port_watch(p);
		port_write(p);
	}
}

bool link_open(const struct link *l, enum link_port p)
{
	return l->port[p].fd >= 0;
}

bool link_synced(const struct link *l, enum link_port p)
{
	return link_open(l, p) && channel_synced(l->port[p].channel);
}

struct id16 link_peer(const struct link *l, enum link_port p)
{
	return l->port[p].channel ? channel_peer(l->port[p].channel) : (struct id16){ 0 };
}

pid_t link_peer_pid(const struct link *l)
{
	struct ucred who = { 0 };
	socklen_t len = sizeof(who);
	int fd = l->port[LINK_CONTROL].fd;
	return fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 ? 0 : who.pid;
}

const struct channel_stats *link_stats(const struct link *l, enum link_port p)
{
	return l->port[p].channel ? channel_stats(l->port[p].channel) : NULL;
}

void link_ack(struct link *l, enum link_port p, uint64_t seq)
{
	channel_ack(l->port[p].channel, seq);
}

struct channel *link_commands(struct link *l)
{
	bool data = !link_synced(l, LINK_CONTROL) && link_synced(l, LINK_DATA);
	return l->port[data ? LINK_DATA : LINK_CONTROL].channel;
}

void link_flush(struct link *l)
{
	for (int i = 0; i < LINK_PORTS; i++)
		if (l->port[i].fd >= 0)
			port_write(&l->port[i]);
}

int link_ping(struct link *l, uint64_t id, struct host_tsc *sent, struct error *err)
{
	/* What waits goes first, so that nothing stands between the stamp and its write. */
	link_flush(l);
	*sent = host_tsc_now();
	struct msg_clock_ping ping = { .id = id, .t1 = sent->cycles };
	if (channel_send_clock_ping(link_commands(l), &ping, CHANNEL_DROP_OLDEST, err) < 0)
		return -1;
	link_flush(l);
	return 0;
}
