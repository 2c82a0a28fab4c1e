/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>

enum {
	TIMER_SLOT_BITS = 6,
	NS_PER_S = 1000000000,
};
_Static_assert(LOOP_TIMERS_MAX == 1 << TIMER_SLOT_BITS, "a timer's id holds its slot");

/* A slot is free while fn is NULL. The serial tells its present tenant from one that a callback
 * removed earlier in the same round: events that poll(2) saw for the one are not given to the other. */
struct fd_slot {
	int fd;
	short events;
	loop_fd_fn *fn;
	void *ctx;
	uint64_t serial;
};

struct timer_slot {
	uint64_t due, period;
	loop_timer_fn *fn;
	void *ctx;
	uint64_t serial;
};

struct loop {
	struct fd_slot fds[LOOP_FDS_MAX];
	struct timer_slot timers[LOOP_TIMERS_MAX];
	uint64_t serial;
	bool stop;
};

uint64_t monotonic_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Saturates: a wait of UINT64_MAX is for ever. */
static uint64_t later(uint64_t now, uint64_t ns)
{
	return ns > UINT64_MAX - now ? UINT64_MAX : now + ns;
}

struct loop *loop_new(struct error *err)
{
	struct loop *l = calloc(1, sizeof(*l));
	if (!l)
		error_set(err, ERR_LIMIT, "event loop: out of memory");
	return l;
}

void loop_free(struct loop *l)
{
	free(l);
}

static struct fd_slot *find_fd(struct loop *l, int fd)
{
	for (int i = 0; i < LOOP_FDS_MAX; i++)
		if (l->fds[i].fn && l->fds[i].fd == fd)
			return &l->fds[i];
	return NULL;
}

static struct fd_slot *free_fd(struct loop *l)
{
	for (int i = 0; i < LOOP_FDS_MAX; i++)
		if (!l->fds[i].fn)
			return &l->fds[i];
	return NULL;
}

int loop_fd(struct loop *l, int fd, short events, loop_fd_fn *fn, void *ctx, struct error *err)
{
	if (fd < 0)
		return error_set(err, ERR_FAILED, "event loop: descriptor %d is not open", fd);
	struct fd_slot *s = find_fd(l, fd);
	if (!s)
		s = free_fd(l);
	if (!s)
		return error_set(err, ERR_LIMIT, "event loop: more than %d descriptors", LOOP_FDS_MAX);
	*s = (struct fd_slot){ .fd = fd, .events = events, .fn = fn, .ctx = ctx, .serial = ++l->serial };
	return 0;
}

void loop_fd_remove(struct loop *l, int fd)
{
	struct fd_slot *s = find_fd(l, fd);
	if (s)
		s->fn = NULL;
}

static int timer_id(const struct loop *l, const struct timer_slot *t)
{
	return (int)((t->serial << TIMER_SLOT_BITS | (uint64_t)(t - l->timers)) & INT_MAX);
}

int loop_timer(struct loop *l, uint64_t first_ns, uint64_t period_ns, loop_timer_fn *fn, void *ctx, struct error *err)
{
	for (int i = 0; i < LOOP_TIMERS_MAX; i++) {
		struct timer_slot *t = &l->timers[i];
		if (t->fn)
			continue;
		*t = (struct timer_slot){
			.due = later(monotonic_ns(), first_ns), .period = period_ns,
			.fn = fn, .ctx = ctx, .serial = ++l->serial,
		};
		return timer_id(l, t);
	}
	return error_set(err, ERR_LIMIT, "event loop: more than %d timers", LOOP_TIMERS_MAX);
}

void loop_timer_remove(struct loop *l, int id)
{
	if (id < 0)
		return;
	struct timer_slot *t = &l->timers[id & (LOOP_TIMERS_MAX - 1)];
	if (t->fn && timer_id(l, t) == id)
		t->fn = NULL;
}

static struct timer_slot *earliest(struct loop *l, uint64_t newest)
{
	struct timer_slot *first = NULL;
	for (int i = 0; i < LOOP_TIMERS_MAX; i++) {
		struct timer_slot *t = &l->timers[i];
		if (t->fn && t->serial <= newest && (!first || t->due < first->due))
			first = t;
	}
	return first;
}

/* Fires what is due, earliest first. Timers that callbacks add wait for the next round, so that one
 * which re-arms itself with no delay cannot keep descriptors from being served. */
static void run_timers(struct loop *l)
{
	uint64_t now = monotonic_ns(), newest = l->serial;
	struct timer_slot *t;
	while ((t = earliest(l, newest)) && t->due <= now) {
		loop_timer_fn *fn = t->fn;
		if (!t->period)
			t->fn = NULL;
		else
			t->due = later(t->due, ((now - t->due) / t->period + 1) * t->period);
		fn(t->ctx);
	}
}

static void run_fds(struct loop *l, const struct pollfd *ready, const uint64_t *serial, nfds_t n)
{
	for (nfds_t i = 0; i < n; i++) {
		if (!ready[i].revents)
			continue;
		struct fd_slot *s = find_fd(l, ready[i].fd);
		if (s && s->serial == serial[i])
			s->fn(s->ctx, s->fd, ready[i].revents);
	}
}

static uint64_t time_to_wait(struct loop *l, uint64_t timeout_ns)
{
	const struct timer_slot *t = earliest(l, UINT64_MAX);
	if (!t || t->due == UINT64_MAX)
		return timeout_ns;
	uint64_t now = monotonic_ns();
	uint64_t wait = t->due > now ? t->due - now : 0;
	return wait < timeout_ns ? wait : timeout_ns;
}

int loop_once(struct loop *l, uint64_t timeout_ns, struct error *err)
{
	struct pollfd ready[LOOP_FDS_MAX];
	uint64_t serial[LOOP_FDS_MAX];
	nfds_t n = 0;
	for (int i = 0; i < LOOP_FDS_MAX; i++) {
		if (!l->fds[i].fn)
			continue;
		ready[n] = (struct pollfd){ .fd = l->fds[i].fd, .events = l->fds[i].events };
		serial[n++] = l->fds[i].serial;
	}
	uint64_t wait = time_to_wait(l, timeout_ns);
	struct timespec ts = { .tv_sec = (time_t)(wait / NS_PER_S), .tv_nsec = (long)(wait % NS_PER_S) };
	int r = ppoll(ready, n, wait == UINT64_MAX ? NULL : &ts, NULL);
	/* A signal ends the round: its handler set a flag that the caller wants to see. */
	if (r < 0 && errno != EINTR)
		return error_sys(err, errno, "event loop: poll");
	run_timers(l);
	if (r > 0)
		run_fds(l, ready, serial, n);
	return 0;
}

int loop_run(struct loop *l, struct error *err)
{
	while (!l->stop)
		if (loop_once(l, UINT64_MAX, err) < 0)
			return -1;
	l->stop = false;
	return 0;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}
