// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/port.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "common/tsc.h"

#define MS 1000000ULL

enum {
	/* Holds some twenty chunks of records on their way to the collector's disk. Pages are the kernel's until first used. */
	RING_BYTES = 4 << 20,
	RETRY_MS = 100,
	/* Only in case a wake-up went missing. */
	WAITING_MS = 1000,
};

static void call(void *ctx);
static void enter_open(struct port *p);
static void on_event(void *ctx, int fd, short revents);

int port_init(struct port *p, int role, struct loop *loop, const struct id16 *self, const struct channel_ops *ops,
	      const struct port_owner *owner, struct error *err)
{
	memset(p, 0, sizeof(*p));
	p->role = role;
	p->fd = p->edge = p->tick = p->retry = -1;
	p->loop = loop;
	p->owner = *owner;
	p->channel = channel_new(CHANNEL_GUEST, self, RING_BYTES, ops, owner->ctx, err);
	return p->channel ? 0 : -1;
}

static void stop_timer(struct port *p, int *id)
{
	loop_timer_remove(p->loop, *id);
	*id = -1;
}

static void start_timer(struct port *p, int *id, uint64_t ms, loop_timer_fn *fn)
{
	struct error err = { 0 };

	stop_timer(p, id);
	*id = loop_timer(p->loop, ms * MS, ms * MS, fn, p, &err);
	if (*id < 0)
		log_error("port %d: %s", p->role, err.text);
}

static void unwatch(struct port *p)
{
	loop_fd_remove(p->loop, p->fd);
	if (p->edge >= 0) {
		loop_fd_remove(p->loop, p->edge);
		close(p->edge);
		p->edge = -1;
	}
	p->events = 0;
}

static void leave(struct port *p, enum port_state next, bool for_good)
{
	bool was_open = p->state == PORT_OPEN;

	unwatch(p);
	stop_timer(p, &p->tick);
	stop_timer(p, &p->retry);
	p->state = next;
	if (was_open)
		channel_closed(p->channel);
	if (was_open || for_good)
		p->owner.changed(p->owner.ctx, p->role, for_good);
}

void port_drop(struct port *p)
{
	leave(p, PORT_ABSENT, false);
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

void port_fini(struct port *p)
{
	if (p->loop && p->fd >= 0)
		unwatch(p);
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	channel_free(p->channel);
	p->channel = NULL;
}

static void watch(struct port *p, short events)
{
	struct error err = { 0 };

	if (events == p->events)
		return;
	if (loop_fd(p->loop, p->fd, events, on_event, p, &err))
		log_error("port %d: %s", p->role, err.text);
	p->events = events;
}

static void on_tick(void *ctx)
{
	struct port *p = ctx;

	channel_tick(p->channel, monotonic_ns() / MS);
	port_flush(p);
	p->owner.moved(p->owner.ctx);
}

static bool host_is_there(const struct port *p)
{
	struct pollfd f = { .fd = p->fd, .events = POLLIN };

	return poll(&f, 1, 0) >= 0 && !(f.revents & (POLLHUP | POLLNVAL));
}

static void look_for_host(void *ctx)
{
	struct port *p = ctx;

	if (host_is_there(p))
		enter_open(p);
}

static void on_edge(void *ctx, int fd, short revents)
{
	struct epoll_event e;

	(void)revents;
	while (epoll_wait(fd, &e, 1, 0) > 0)
		continue;
	look_for_host(ctx);
}

static void enter_waiting(struct port *p)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
	struct error err = { 0 };

	leave(p, PORT_WAITING, false);
	p->edge = epoll_create1(EPOLL_CLOEXEC);
	if (p->edge < 0 || epoll_ctl(p->edge, EPOLL_CTL_ADD, p->fd, &e) < 0 ||
	    loop_fd(p->loop, p->edge, POLLIN, on_edge, p, &err))
		log_warn("port %d: the host's return will be noticed late: %s", p->role, err.code ? err.text : strerror(errno));
	if (!p->quiet)
		start_timer(p, &p->retry, WAITING_MS, look_for_host);
	look_for_host(p);
}

static void enter_open(struct port *p)
{
	leave(p, PORT_OPEN, false);
	channel_opened(p->channel);
	watch(p, POLLIN);
	if (!p->quiet)
		start_timer(p, &p->tick, CHANNEL_TICK_MS, on_tick);
	port_flush(p);
	p->owner.changed(p->owner.ctx, p->role, false);
}

/* A socket at its end is called again; a descriptor that was given cannot be. */
static void broken(struct port *p)
{
	bool given = !p->path[0];

	leave(p, given ? PORT_ABSENT : PORT_CALLING, given);
	close(p->fd);
	p->fd = -1;
	if (!given)
		start_timer(p, &p->retry, RETRY_MS, call);
}

static bool is_socket(const struct port *p)
{
	struct stat st;

	return fstat(p->fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static void hung_up(struct port *p)
{
	if (is_socket(p))
		broken(p);
	else
		enter_waiting(p);
}

static void read_port(struct port *p)
{
	size_t room;
	uint8_t *in = channel_input(p->channel, &room);
	ssize_t n = read(p->fd, in, room);

	p->read_tsc = tsc_read();
	if (n > 0) {
		channel_fed(p->channel, (size_t)n);
		port_flush(p);
		p->owner.moved(p->owner.ctx);
	} else if (n == 0) {
		hung_up(p);
	} else if (errno != EAGAIN && errno != EINTR) {
		log_warn("port %d: read: %s", p->role, strerror(errno));
		broken(p);
	}
}

static void on_event(void *ctx, int fd, short revents)
{
	struct port *p = ctx;

	(void)fd;
	if (revents & POLLIN) {
		read_port(p);
	} else if (revents & (POLLHUP | POLLERR | POLLNVAL)) {
		hung_up(p);
	} else if (revents & POLLOUT) {
		port_flush(p);
		p->owner.moved(p->owner.ctx);
	}
}

static ssize_t write_port(const struct port *p, struct span out)
{
	ssize_t n;

	do
		n = write(p->fd, out.p, out.len);
	while (n < 0 && errno == EINTR);
	return n;
}

/* In a window too a clock's ping is answered: the collector sends some only after the VM was stopped or taken back. */
static bool may_speak(const struct port *p)
{
	return !p->quiet || channel_answers(p->channel);
}

void port_flush(struct port *p)
{
	struct span out = { 0 };

	if (p->state != PORT_OPEN || !may_speak(p))
		return;
	while (may_speak(p) && (out = channel_output(p->channel)).len) {
		ssize_t n = write_port(p, out);
		/* Whatever else is wrong with the port, poll will say it too. */
		if (n <= 0)
			break;
		channel_wrote(p->channel, (size_t)n);
	}
	watch(p, out.len && may_speak(p) ? POLLIN | POLLOUT : POLLIN);
}

void port_quiet(struct port *p, bool quiet)
{
	if (p->quiet == quiet)
		return;
	p->quiet = quiet;
	/* The edge still wakes; what looks now and then can wait. */
	if (p->state == PORT_WAITING && quiet)
		stop_timer(p, &p->retry);
	else if (p->state == PORT_WAITING)
		start_timer(p, &p->retry, WAITING_MS, look_for_host);
	if (p->state != PORT_OPEN)
		return;
	stop_timer(p, &p->tick);
	if (quiet) {
		watch(p, POLLIN);
	} else {
		start_timer(p, &p->tick, CHANNEL_TICK_MS, on_tick);
		on_tick(p);
	}
}

static int connect_socket(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(a.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(a.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	int e = errno;
	close(fd);
	errno = e;
	return -1;
}

/* Opening a socket's path says ENXIO; then it is connected to. */
static int open_path(const char *path)
{
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	return fd < 0 && errno == ENXIO ? connect_socket(path) : fd;
}

/* A file or /dev/null is always ready and always at its end: the agent would do nothing but read it. */
static bool can_be_waited_for(int fd)
{
	struct epoll_event e = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC);
	bool can = ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0 || errno != EPERM;

	if (ep >= 0)
		close(ep);
	return can;
}

static void call(void *ctx)
{
	struct port *p = ctx;

	p->fd = open_path(p->path);
	if (p->fd >= 0 && !can_be_waited_for(p->fd)) {
		close(p->fd);
		p->fd = -1;
		errno = EPERM;
	}
	if (p->fd < 0)
		return;
	if (host_is_there(p))
		enter_open(p);
	else
		enter_waiting(p);
}

int port_use_path(struct port *p, const char *path, struct error *err)
{
	if (strlen(path) >= sizeof(p->path))
		return error_set(err, ERR_USAGE, "port %s: path too long", path);
	strcpy(p->path, path);
	p->state = PORT_CALLING;
	call(p);
	if (p->fd >= 0)
		return 0;
	if (errno == EPERM)
		return error_set(err, ERR_USAGE, "port %s: neither a port nor a socket", path);
	log_warn("port %s: %s; trying again until it answers", path, strerror(errno));
	start_timer(p, &p->retry, RETRY_MS, call);
	return 0;
}

int port_use_fd(struct port *p, int fd, struct error *err)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return error_sys(err, errno, "descriptor %d", fd);
	if (!can_be_waited_for(fd))
		return error_set(err, ERR_USAGE, "descriptor %d: neither a port nor a socket", fd);
	p->path[0] = '\0';
	p->fd = fd;
	enter_open(p);
	return 0;
}
