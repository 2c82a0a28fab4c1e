/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The least collector there is: greets a guest over its control port, then powers it off.
 *
 *   greet [--quiet] SOCKET SECONDS
 *
 * Connects to the UNIX socket of QEMU's chardev (waits for it to appear), sends GREET and prints what HELLO, DISK and
 * HELLO_END say, one `name=value` line each, then `hello_at_ms`: when HELLO came, in milliseconds since 1970.
 * Exit status 0 when the greeting was complete, and POWEROFF acknowledged, within SECONDS; else 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/loop.h"
#include "common/version.h"

static const uint64_t CONNECT_NS = 30 * 1000000000ULL;

struct greeter {
	struct loop *loop;
	struct channel *ch;
	int fd;
	const char *path;
	uint64_t hello_at_ms;  /* 0: HELLO has not come */
	bool quiet;            /* print hello_at_ms alone */
	bool complete;         /* HELLO_END has come */
	bool failed;
};

static void fail(struct greeter *g, const char *what)
{
	fprintf(stderr, "greet: %s: %s\n", g->path, what);
	g->failed = true;
	loop_stop(g->loop);
}

static void print_text(const char *name, struct span s)
{
	char text[512];

	printf("%s=%s\n", name, span_text(s, text, sizeof(text)));
}

static void print_hello(struct greeter *g, const struct msg_hello *m)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	g->hello_at_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	if (g->quiet)
		return;
	printf("protocol=%u\ncpus=%u\nmemory=%llu\ntsc_hz=%llu\nuptime_ms=%.1f\n", m->protocol, m->cpus,
	       (unsigned long long)m->memory, (unsigned long long)m->tsc_hz, (double)m->uptime_ns / 1e6);
	print_text("version", m->version);
	print_text("kernel", m->kernel);
	print_text("tsc_flags", m->tsc_flags);
	print_text("clocksource", m->clocksource);
	print_text("tracing", m->tracing);
	print_text("ports", m->ports);
}

static void print_disk(const struct greeter *g, const struct msg_disk *m)
{
	char name[64], serial[64], driver[64];

	if (g->quiet)
		return;
	printf("disk=%s serial=%s driver=%s size=%llu\n", span_text(m->name, name, sizeof(name)),
	       span_text(m->serial, serial, sizeof(serial)), span_text(m->driver, driver, sizeof(driver)),
	       (unsigned long long)m->size);
}

static void finish_greeting(struct greeter *g)
{
	struct error err = { 0 };
	struct msg_poweroff off = { 0 };

	g->complete = true;
	printf("hello_at_ms=%llu\n", (unsigned long long)g->hello_at_ms);
	fflush(stdout);
	if (channel_send_poweroff(g->ch, &off, CHANNEL_WAIT, &err))
		fail(g, err.text);
}

static void take_message(void *ctx, struct channel *ch, uint16_t type, struct span payload, uint64_t seq)
{
	struct greeter *g = ctx;
	struct error err = { 0 };
	struct msg_hello hello;
	struct msg_disk disk;

	if (seq)
		channel_ack(ch, seq);
	if (type == MSG_HELLO && msg_hello_decode(payload, &hello, &err) == 0)
		print_hello(g, &hello);
	else if (type == MSG_DISK && msg_disk_decode(payload, &disk, &err) == 0)
		print_disk(g, &disk);
	else if (type == MSG_HELLO_END && g->hello_at_ms && !g->complete)
		finish_greeting(g);
	if (err.code)
		fail(g, err.text);
}

static void port_ready(void *ctx, int fd, short revents);

/* Writes what the port takes, and asks to hear of room only while something is left. */
static void flush_port(struct greeter *g)
{
	struct error err = { 0 };
	struct span out;

	while ((out = channel_output(g->ch)).len) {
		ssize_t n = send(g->fd, out.p, out.len, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		channel_wrote(g->ch, (size_t)n);
	}
	if (loop_fd(g->loop, g->fd, (short)(out.len ? POLLIN | POLLOUT : POLLIN), port_ready, g, &err))
		fail(g, err.text);
}

/* QEMU is gone: as it should be after POWEROFF, else an error. */
static void port_closed(struct greeter *g)
{
	if (g->complete)
		loop_stop(g->loop);
	else
		fail(g, "closed before the greeting was complete");
}

static void port_ready(void *ctx, int fd, short revents)
{
	struct greeter *g = ctx;
	size_t room;
	uint8_t *in = channel_input(g->ch, &room);
	ssize_t n = read(fd, in, room);

	(void)revents;
	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		port_closed(g);
		return;
	}
	if (n > 0)
		channel_fed(g->ch, (size_t)n);
	flush_port(g);
}

static void tick(void *ctx)
{
	struct greeter *g = ctx;

	channel_tick(g->ch, monotonic_ns() / 1000000);
	flush_port(g);
	if (g->complete && channel_drained(g->ch))
		loop_stop(g->loop);
}

static void give_up(void *ctx)
{
	fail(ctx, "no complete greeting in time");
}

/* QEMU makes its socket soon after its start, or has failed. */
static int connect_to(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	uint64_t deadline = monotonic_ns() + CONNECT_NS;

	if (snprintf(a.sun_path, sizeof(a.sun_path), "%s", path) >= (int)sizeof(a.sun_path))
		return -1;
	do {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
			fcntl(fd, F_SETFL, O_NONBLOCK);
			return fd;
		}
		if (fd >= 0)
			close(fd);
		usleep(2000);
	} while (monotonic_ns() < deadline);
	return -1;
}

static int converse(struct greeter *g, uint64_t timeout_ns)
{
	static const struct channel_ops ops = { .message = take_message };
	const struct msg_greet greet = { .protocol = PROTOCOL_VERSION, .version = span_of(BIFOCAL_VERSION) };
	struct id16 self = { { 0 } };
	struct error err = { 0 };

	uint64_t drawn = monotonic_ns();
	memcpy(self.b, &drawn, sizeof(drawn));
	g->loop = loop_new(&err);
	g->ch = channel_new(CHANNEL_HOST, &self, 8 * FRAME_MAX, &ops, g, &err);
	if (!g->loop || !g->ch)
		goto out;
	channel_opened(g->ch);
	if (channel_send_greet(g->ch, &greet, CHANNEL_WAIT, &err) ||
	    loop_timer(g->loop, 0, CHANNEL_TICK_MS * 1000000ULL, tick, g, &err) < 0 ||
	    loop_timer(g->loop, timeout_ns, 0, give_up, g, &err) < 0 ||
	    loop_fd(g->loop, g->fd, POLLIN, port_ready, g, &err) || loop_run(g->loop, &err))
		goto out;
out:
	if (err.code)
		fprintf(stderr, "greet: %s\n", err.text);
	channel_free(g->ch);
	loop_free(g->loop);
	return err.code || g->failed || !g->complete;
}

int main(int argc, char **argv)
{
	struct greeter g = { 0 };
	int at = 1, status;

	g.quiet = argc > 1 && !strcmp(argv[1], "--quiet");
	at += g.quiet;
	if (argc - at != 2) {
		fputs("usage: greet [--quiet] SOCKET SECONDS\n", stderr);
		return EXIT_USAGE;
	}
	uint64_t timeout_ns = strtoull(argv[at + 1], NULL, 10) * 1000000000ULL;

	g.path = argv[at];
	g.fd = connect_to(g.path);
	if (g.fd < 0) {
		fprintf(stderr, "greet: %s: nobody listens there\n", g.path);
		return EXIT_FAILED;
	}
	status = converse(&g, timeout_ns);
	close(g.fd);
	return status;
}
