/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The collector's end of the ports against a channel over a UNIX socket in the same process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/link.h"

struct world {
	char dir[64], path[LINK_PORTS][96];
	struct loop *loop;
	struct link *link;
	struct channel *guest[LINK_PORTS];
	int listener[LINK_PORTS], fd[LINK_PORTS];
	enum link_port from;           /* where the last message came from */
	uint16_t type;
	uint64_t seq;
	struct host_tsc at;
	unsigned closed;
	uint64_t pings, ping_t1;
};

static void on_host_message(void *ctx, enum link_port port, uint16_t type, struct span payload, uint64_t seq, struct host_tsc at)
{
	struct world *w = ctx;
	(void)payload;
	w->from = port;
	w->type = type;
	w->seq = seq;
	w->at = at;
}

static void on_closed(void *ctx, enum link_port port, const char *why)
{
	struct world *w = ctx;
	assert_non_null(why);
	w->closed |= 1u << port;
}

static void on_guest_message(void *ctx, struct channel *ch, uint16_t type, struct span payload, uint64_t seq)
{
	struct world *w = ctx;
	struct msg_clock_ping ping;
	if (seq)
		channel_ack(ch, seq);
	if (type == MSG_CLOCK_PING && !msg_clock_ping_decode(payload, &ping, NULL)) {
		w->pings++;
		w->ping_t1 = ping.t1;
	}
}

static const struct link_ops link_ops = { .message = on_host_message, .closed = on_closed };
static const struct channel_ops guest_ops = { .message = on_guest_message };

static int listen_at(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static int setup(void **state)
{
	const struct id16 self = { { 7 } };
	struct world *w = calloc(1, sizeof(*w));
	strcpy(w->dir, "/tmp/bifocal-link.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->loop = loop_new(NULL);
	for (int p = 0; p < LINK_PORTS; p++) {
		stpcpy(stpcpy(w->path[p], w->dir), p == LINK_DATA ? "/data" : "/control");
		w->listener[p] = listen_at(w->path[p]);
		w->guest[p] = channel_new(CHANNEL_GUEST, &self, 4 * FRAME_MAX, &guest_ops, w, NULL);
		w->fd[p] = -1;
	}
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char command[96];
	link_free(w->link);
	for (int p = 0; p < LINK_PORTS; p++) {
		if (w->fd[p] >= 0)
			close(w->fd[p]);
		close(w->listener[p]);
		channel_free(w->guest[p]);
	}
	loop_free(w->loop);
	snprintf(command, sizeof(command), "rm -rf '%s'", w->dir);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

static void open_link(struct world *w, bool data)
{
	const struct id16 self = { { 1, 2, 3 } };
	struct error err = { 0 };
	w->link = link_new(w->loop, &self, w->path[LINK_CONTROL], data ? w->path[LINK_DATA] : NULL, &link_ops, w, &err);
	if (!w->link)
		fail_msg("%s", err.text);
	for (int p = 0; p < LINK_PORTS; p++) {
		w->fd[p] = accept4(w->listener[p], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (w->fd[p] >= 0)
			channel_opened(w->guest[p]);
	}
}

/* The guest's side by hand: what one turn of its loop would do. */
static void pump(struct world *w, int port)
{
	size_t room;
	struct span out;
	uint8_t *in = channel_input(w->guest[port], &room);
	ssize_t n = recv(w->fd[port], in, room, 0);
	if (n > 0)
		channel_fed(w->guest[port], (size_t)n);
	channel_tick(w->guest[port], monotonic_ns() / 1000000);
	while ((out = channel_output(w->guest[port])).len) {
		n = send(w->fd[port], out.p, out.len, MSG_NOSIGNAL);
		if (n <= 0)
			break;
		channel_wrote(w->guest[port], (size_t)n);
	}
}

static void turns(struct world *w, int n)
{
	for (int i = 0; i < n; i++) {
		assert_int_equal(loop_once(w->loop, 1000000, NULL), 0);
		for (int p = 0; p < LINK_PORTS; p++)
			if (w->fd[p] >= 0)
				pump(w, p);
	}
}

static void until_synced(struct world *w, enum link_port p)
{
	for (int i = 0; i < 5000 && !link_synced(w->link, p); i++)
		turns(w, 1);
	assert_true(link_synced(w->link, p));
}

static void test_messages_arrive_with_their_port(void **state)
{
	struct world *w = *state;
	const struct msg_hello_end end = { .disks = 3 };
	open_link(w, true);
	until_synced(w, LINK_CONTROL);
	until_synced(w, LINK_DATA);
	uint64_t before = host_tsc_now().cycles;
	assert_int_equal(channel_send_hello_end(w->guest[LINK_DATA], &end, CHANNEL_WAIT, NULL), 0);
	turns(w, 10);
	assert_int_equal(w->type, MSG_HELLO_END);
	assert_int_equal(w->from, LINK_DATA);
	assert_int_equal(w->seq, 1);
	assert_true(w->at.cycles > before && w->at.cycles < host_tsc_now().cycles);
	/* It is the sender's until it is acknowledged. */
	assert_false(channel_drained(w->guest[LINK_DATA]));
	link_ack(w->link, LINK_DATA, w->seq);
	link_flush(w->link);
	turns(w, 10);
	assert_true(channel_drained(w->guest[LINK_DATA]));
}

static void test_ping_is_stamped_before_it_leaves(void **state)
{
	struct world *w = *state;
	open_link(w, true);
	until_synced(w, LINK_CONTROL);
	uint64_t before = host_tsc_now().cycles;
	struct host_tsc sent;
	assert_int_equal(link_ping(w->link, 1, &sent, NULL), 0);
	uint64_t after = host_tsc_now().cycles;
	turns(w, 5);
	assert_int_equal(w->pings, 1);
	assert_true(sent.cycles >= before && sent.cycles <= after);
	assert_true(w->ping_t1 == sent.cycles);
}

static void test_commands_go_where_somebody_listens(void **state)
{
	struct world *w = *state;
	open_link(w, true);
	struct channel *control = link_commands(w->link);
	until_synced(w, LINK_DATA);
	until_synced(w, LINK_CONTROL);
	assert_ptr_equal(link_commands(w->link), control);
	close(w->fd[LINK_CONTROL]);
	w->fd[LINK_CONTROL] = -1;
	turns(w, 5);
	assert_int_equal(w->closed, 1u << LINK_CONTROL);
	assert_false(link_open(w->link, LINK_CONTROL));
	assert_ptr_not_equal(link_commands(w->link), control);
}

static void test_one_port(void **state)
{
	struct world *w = *state;
	open_link(w, false);
	until_synced(w, LINK_CONTROL);
	assert_false(link_synced(w->link, LINK_DATA));
	assert_null(link_stats(w->link, LINK_DATA));
	assert_true(link_stats(w->link, LINK_CONTROL)->frames_in > 0);
}

static void test_bad_paths(void **state)
{
	struct world *w = *state;
	const struct id16 self = { { 1 } };
	struct error err = { 0 };
	char longer[300];
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	assert_null(link_new(w->loop, &self, longer, NULL, &link_ops, w, &err));
	assert_non_null(strstr(err.text, "longer than"));
	assert_null(link_new(w->loop, &self, w->path[LINK_CONTROL], "/nonexistent", &link_ops, w, &err));
	assert_non_null(strstr(err.text, "data port"));
	assert_non_null(strstr(err.text, "/nonexistent"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_messages_arrive_with_their_port, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ping_is_stamped_before_it_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_commands_go_where_somebody_listens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_port, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_paths, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
