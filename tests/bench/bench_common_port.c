/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's end of the port benchmark: payload rate of a channel against a bare copy, both guest → host
 * through the same virtio-serial port, in turn.
 *
 *   bench_common_port CONTROL_SOCKET DATA_SOCKET MIB ROUNDS
 *
 * Orders go as text lines over the control port ("bare BYTES", "channel BYTES", "quit"); the bytes come over the
 * data port from bench_guest_init. Time runs from the order to the last byte (for the channel: to the last
 * message, each acknowledged as the collector would). Prints one line a round: "bare MB/s channel MB/s".
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/loop.h"

enum { COMMIT_BYTES = 1 << 20 };

static void die(const char *what)
{
	fprintf(stderr, "bench_common_port: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int connect_to(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	for (int tries = 0; tries < 600; tries++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			die("socket");
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
			return fd;
		close(fd);
		usleep(100000);
	}
	die(path);
	return -1;
}

static void order(int fd, const char *verb, uint64_t bytes)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%s %llu\n", verb, (unsigned long long)bytes);
	if (write(fd, line, (size_t)n) != n)
		die("order");
}

static void wait_ready(int fd)
{
	char c = 0;
	while (c != '\n')
		if (read(fd, &c, 1) != 1)
			die("the guest is gone");
}

static double rate_bare(int control, int data, uint64_t bytes)
{
	static char buf[256 * 1024];
	uint64_t began = monotonic_ns(), got = 0;
	order(control, "bare", bytes);
	while (got < bytes) {
		ssize_t n = read(data, buf, sizeof(buf));
		if (n <= 0)
			die("data port");
		got += (uint64_t)n;
	}
	return (double)bytes / (double)(monotonic_ns() - began) * 1e3;
}

struct tally {
	uint64_t bytes, acknowledged;
	uint64_t all;
};

/* As the collector does: one acknowledgement a commit, not one a message. */
static void count_payload(void *ctx, struct channel *ch, uint16_t type, struct span payload, uint64_t seq)
{
	struct tally *t = ctx;
	if (type == MSG_LOG)
		t->bytes += payload.len;
	if (t->bytes - t->acknowledged >= COMMIT_BYTES || t->bytes == t->all) {
		channel_ack(ch, seq);
		t->acknowledged = t->bytes;
	}
}

static void pump(struct channel *ch, int data)
{
	size_t room;
	uint8_t *p = channel_input(ch, &room);
	ssize_t n = read(data, p, room);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		die("data port");
	if (n > 0)
		channel_fed(ch, (size_t)n);
	for (struct span out = channel_output(ch); out.len > 0; out = channel_output(ch)) {
		n = write(data, out.p, out.len);
		if (n <= 0)
			return;
		channel_wrote(ch, (size_t)n);
	}
}

static double rate_channel(int control, int data, uint64_t bytes)
{
	static const struct channel_ops ops = { .message = count_payload };
	struct id16 self = { { 1 } };
	struct error err;
	struct tally tally = { .all = bytes };
	uint64_t began;
	struct channel *ch = channel_new(CHANNEL_HOST, &self, 1 << 20, &ops, &tally, &err);
	if (!ch)
		die(err.text);
	fcntl(data, F_SETFL, O_NONBLOCK);
	/* Alignment is not payload: the guest starts its part when the channel is in step. */
	order(control, "channel", bytes);
	channel_opened(ch);
	began = monotonic_ns();
	bool counting = false;
	while (tally.bytes < bytes) {
		struct pollfd p = { .fd = data, .events = POLLIN };
		if (channel_output(ch).len > 0)
			p.events |= POLLOUT;
		if (poll(&p, 1, CHANNEL_TICK_MS) < 0)
			die("poll");
		pump(ch, data);
		channel_tick(ch, monotonic_ns() / 1000000);
		if (!counting && channel_synced(ch)) {
			began = monotonic_ns();
			counting = true;
		}
	}
	double rate = (double)bytes / (double)(monotonic_ns() - began) * 1e3;
	/* The last acknowledgements must leave before the descriptor goes back to plain reading. */
	for (int i = 0; i < 20; i++) {
		pump(ch, data);
		usleep(5000);
	}
	fcntl(data, F_SETFL, 0);
	channel_free(ch);
	return rate;
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: %s CONTROL DATA MIB ROUNDS\n", argv[0]);
		return 2;
	}
	uint64_t bytes = strtoull(argv[3], NULL, 10) << 20;
	int rounds = atoi(argv[4]);
	int data = connect_to(argv[2]), control = connect_to(argv[1]);
	wait_ready(control);
	for (int i = 0; i < rounds; i++) {
		double bare = rate_bare(control, data, bytes);
		wait_ready(control);
		double channel = rate_channel(control, data, bytes);
		wait_ready(control);
		printf("bare %.2f channel %.2f\n", bare, channel);
		fflush(stdout);
	}
	order(control, "quit", 0);
	return 0;
}
