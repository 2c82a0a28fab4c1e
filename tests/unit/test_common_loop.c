/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/loop.h"

struct world {
	struct loop *l;
	int a[2], b[2];
	int calls_a, calls_b, calls_timer, id, other;
	char order[64];
};

static void open_world(struct world *w)
{
	struct error err;
	memset(w, 0, sizeof(*w));
	w->l = loop_new(&err);
	assert_non_null(w->l);
	assert_int_equal(pipe(w->a), 0);
	assert_int_equal(pipe(w->b), 0);
}

static void close_world(struct world *w)
{
	loop_free(w->l);
	for (int i = 0; i < 2; i++) {
		close(w->a[i]);
		close(w->b[i]);
	}
}

static void read_a(void *ctx, int fd, short revents)
{
	struct world *w = ctx;
	char c;
	assert_true(revents & POLLIN);
	assert_int_equal(fd, w->a[0]);
	assert_int_equal(read(fd, &c, 1), 1);
	w->calls_a++;
	if (c == 'q')
		loop_stop(w->l);
}

static void count_b(void *ctx, int fd, short revents)
{
	struct world *w = ctx;
	(void)fd;
	(void)revents;
	w->calls_b++;
}

static void descriptors_are_served(void **state)
{
	(void)state;
	struct world w;
	struct error err;
	open_world(&w);
	assert_int_equal(loop_fd(w.l, w.a[0], POLLIN, read_a, &w, &err), 0);
	assert_int_equal(loop_fd(w.l, w.b[0], POLLIN, count_b, &w, &err), 0);
	assert_int_equal(write(w.a[1], "xyq", 3), 3);
	assert_int_equal(loop_run(w.l, &err), 0);
	assert_int_equal(w.calls_a, 3);
	assert_int_equal(w.calls_b, 0);
	assert_int_equal(loop_once(w.l, 0, &err), 0);
	assert_int_equal(loop_fd(w.l, -1, POLLIN, count_b, &w, &err), -1);
	close_world(&w);
}

static void remove_both(void *ctx, int fd, short revents)
{
	struct world *w = ctx;
	(void)fd;
	(void)revents;
	w->calls_a++;
	loop_fd_remove(w->l, w->a[0]);
	loop_fd_remove(w->l, w->b[0]);
}

static void removed_in_a_callback_is_not_called(void **state)
{
	(void)state;
	struct world w;
	struct error err;
	open_world(&w);
	assert_int_equal(write(w.a[1], "x", 1), 1);
	assert_int_equal(write(w.b[1], "x", 1), 1);
	loop_fd(w.l, w.a[0], POLLIN, remove_both, &w, &err);
	loop_fd(w.l, w.b[0], POLLIN, remove_both, &w, &err);
	loop_once(w.l, 0, &err);
	loop_once(w.l, 0, &err);
	assert_int_equal(w.calls_a, 1);
	close_world(&w);
}

/* Closes b and gives its number to a descriptor on which nothing waits. */
static void swap_b(void *ctx, int fd, short revents)
{
	struct world *w = ctx;
	struct error err;
	int fresh[2];
	(void)fd;
	(void)revents;
	loop_fd_remove(w->l, w->a[0]);
	loop_fd_remove(w->l, w->b[0]);
	assert_int_equal(pipe(fresh), 0);
	assert_int_equal(dup2(fresh[0], w->b[0]), w->b[0]);
	close(fresh[0]);
	w->other = fresh[1];
	assert_int_equal(loop_fd(w->l, w->b[0], POLLIN, count_b, w, &err), 0);
}

static void old_events_do_not_reach_a_new_tenant(void **state)
{
	(void)state;
	struct world w;
	struct error err;
	open_world(&w);
	assert_int_equal(write(w.a[1], "x", 1), 1);
	assert_int_equal(write(w.b[1], "x", 1), 1);
	loop_fd(w.l, w.a[0], POLLIN, swap_b, &w, &err);
	loop_fd(w.l, w.b[0], POLLIN, count_b, &w, &err);
	loop_once(w.l, 0, &err);
	assert_int_equal(w.calls_b, 0);
	loop_once(w.l, 0, &err);
	assert_int_equal(w.calls_b, 0);
	assert_int_equal(write(w.other, "x", 1), 1);
	loop_once(w.l, 0, &err);
	assert_int_equal(w.calls_b, 1);
	close(w.other);
	close_world(&w);
}

static void tables_have_bounds(void **state)
{
	(void)state;
	struct world w;
	struct error err;
	int fds[LOOP_FDS_MAX];
	open_world(&w);
	for (int i = 0; i < LOOP_FDS_MAX; i++) {
		fds[i] = dup(w.a[0]);
		assert_int_equal(loop_fd(w.l, fds[i], POLLIN, count_b, &w, &err), 0);
	}
	assert_int_equal(loop_fd(w.l, w.b[0], POLLIN, count_b, &w, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_int_equal(loop_fd(w.l, fds[3], 0, count_b, &w, &err), 0);
	loop_fd_remove(w.l, fds[3]);
	assert_int_equal(loop_fd(w.l, w.b[0], POLLIN, count_b, &w, &err), 0);
	for (int i = 0; i < LOOP_FDS_MAX; i++)
		close(fds[i]);
	close_world(&w);
}

static void append_a(void *ctx) { strcat(((struct world *)ctx)->order, "a"); }
static void append_b(void *ctx) { strcat(((struct world *)ctx)->order, "b"); }

static void append_c(void *ctx)
{
	struct world *w = ctx;
	strcat(w->order, "c");
	loop_stop(w->l);
}

static void timers_fire_in_order(void **state)
{
	(void)state;
	struct world w;
	struct error err;
	open_world(&w);
	loop_timer(w.l, 3000000, 0, append_c, &w, &err);
	loop_timer(w.l, 2000000, 0, append_b, &w, &err);
	int gone = loop_timer(w.l, 1500000, 0, append_b, &w, &err);
	loop_timer(w.l, 1000000, 0, append_a, &w, &err);
	loop_timer_remove(w.l, gone);
	loop_timer_remove(w.l, -1);
	uint64_t start = monotonic_ns();
	assert_int_equal(loop_run(w.l, &err), 0);
	assert_true(monotonic_ns() - start >= 3000000);
	assert_string_equal(w.order, "abc");
	close_world(&w);
}

static void count_timer(void *ctx)
{
	struct world *w = ctx;
	if (++w->calls_timer == 3)
		loop_timer_remove(w->l, w->id);
}

static void periodic_timers_repeat_and_catch_up_once(void **state)
{
	(void)state;
	struct world w;
	struct error err;
	open_world(&w);
	w.id = loop_timer(w.l, 0, 1000000, count_timer, &w, &err);
	usleep(20000);
	loop_once(w.l, 0, &err);
	assert_int_equal(w.calls_timer, 1);
	while (w.calls_timer < 3)
		loop_once(w.l, UINT64_MAX, &err);
	usleep(3000);
	loop_once(w.l, 0, &err);
	assert_int_equal(w.calls_timer, 3);
	close_world(&w);
}

static void rearm(void *ctx)
{
	struct world *w = ctx;
	struct error err;
	w->calls_timer++;
	w->other = loop_timer(w->l, 0, 0, rearm, w, &err);
	assert_true(w->other >= 0);
}

static void a_timer_that_rearms_lets_others_run(void **state)
{
	(void)state;
	struct world w;
	struct error err;
	open_world(&w);
	assert_int_equal(write(w.b[1], "x", 1), 1);
	loop_fd(w.l, w.b[0], POLLIN, count_b, &w, &err);
	w.id = loop_timer(w.l, 0, 0, rearm, &w, &err);
	for (int i = 1; i <= 1000; i++) {
		loop_once(w.l, UINT64_MAX, &err);
		assert_int_equal(w.calls_timer, i);
		assert_int_equal(w.calls_b, i);
		/* The id of a timer long gone removes nothing, though its slot is in use. */
		loop_timer_remove(w.l, w.id);
	}
	close_world(&w);
}

static void timers_have_a_bound(void **state)
{
	(void)state;
	struct world w;
	struct error err;
	open_world(&w);
	for (int i = 0; i < LOOP_TIMERS_MAX; i++)
		assert_true(loop_timer(w.l, UINT64_MAX, 0, append_a, &w, &err) >= 0);
	assert_int_equal(loop_timer(w.l, 1, 0, append_a, &w, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	loop_once(w.l, 1000, &err);
	assert_string_equal(w.order, "");
	close_world(&w);
}

static void ignore_signal(int number)
{
	(void)number;
}

static void a_signal_ends_the_round(void **state)
{
	(void)state;
	struct world w;
	struct error err;
	struct sigaction sa = { .sa_handler = ignore_signal };
	struct itimerval t = { .it_value = { .tv_usec = 5000 } };
	open_world(&w);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &t, NULL);
	assert_int_equal(loop_once(w.l, UINT64_MAX, &err), 0);
	close_world(&w);
}

static void stopped_before_it_runs(void **state)
{
	(void)state;
	struct world w;
	struct error err;
	open_world(&w);
	loop_stop(w.l);
	assert_int_equal(loop_run(w.l, &err), 0);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_are_served),
		cmocka_unit_test(removed_in_a_callback_is_not_called),
		cmocka_unit_test(old_events_do_not_reach_a_new_tenant),
		cmocka_unit_test(tables_have_bounds),
		cmocka_unit_test(timers_fire_in_order),
		cmocka_unit_test(periodic_timers_repeat_and_catch_up_once),
		cmocka_unit_test(a_timer_that_rearms_lets_others_run),
		cmocka_unit_test(timers_have_a_bound),
		cmocka_unit_test(a_signal_ends_the_round),
		cmocka_unit_test(stopped_before_it_runs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
