/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What breaks the guest's clock: QEMU's events and our own commands become marks in the store (stream STREAM_MARKS,
 * CLOCK_REALTIME), end the clock's epoch, and after a break inside the window a short burst of exchanges gives the new epoch
 * a bound of its own. The rule of an epoch's span is in host/clock/clock.h.
 */
#include <string.h>

#include "common/log.h"
#include "host/run/session_priv.h"

enum {
	ANCHOR_TRIES = 16,
	/* Little enough not to be seen in a window of seconds, enough that the narrowest is near what many would give. */
	BURST_ROUNDS = 32,
	BURST_PERIOD_MS = 2,
	BURST_PATIENCE_MS = 100,
};

/* ---- marks ---- */

static void add_mark(struct session *s, const struct sighting *m)
{
	if (s->marks < SESSION_MARKS)
		s->mark[s->marks++] = *m;
	else
		s->lost_marks++;
}

static void mark(struct session *s, enum vm_mark what, int64_t realtime_ns)
{
	const struct sighting m = {
		.time = (uint64_t)realtime_ns, .kind = SIGHT_STOPPED, .key = (uint64_t)what, .op = SIGHT_OP_NONE, .flags = SIGHT_NO_PLACE,
	};
	add_mark(s, &m);
}

static void mark_anchor(struct session *s, const struct clock_anchor *a)
{
	const struct sighting m = {
		.time = (uint64_t)a->ns, .kind = SIGHT_ANCHOR, .key = a->before, .sector = a->after, .op = SIGHT_OP_NONE,
	};
	add_mark(s, &m);
}

void session_note_time(struct session *s)
{
	s->anchor = clock_anchor_take(ANCHOR_TRIES);
	if (!s->first_anchor.ns)
		s->first_anchor = s->anchor;
	mark_anchor(s, &s->anchor);
}

static int by_time(const void *a, const void *b)
{
	const struct sighting *x = a, *y = b;

	return x->time < y->time ? -1 : x->time > y->time;
}

int session_put_marks(struct session *s, struct store_batch *b, uint64_t run, struct error *err)
{
	const struct store_stream st = {
		.stream = STREAM_MARKS, .vantage = VANTAGE_MARK, .clock = STREAM_REALTIME, .events = s->marks, .lost = s->lost_marks,
		.source = "collector",
	};
	struct wbuf w;

	if (!s->marks)
		return 0;
	/* QEMU's words come later than our own about the same. */
	qsort(s->mark, s->marks, sizeof(s->mark[0]), by_time);
	wbuf_heap(&w, SIGHT_CHUNK_BYTES);
	sights_pack(&w, s->mark, s->marks);
	int r = w.bad ? error_set(err, ERR_LIMIT, "marks that cannot be packed") :
			put_stream(b, run, &st, err) || put_sight_chunk(b, run, STREAM_MARKS, 0, (struct span){ w.p, w.len }, err) ? -1 : 0;
	wbuf_fini(&w);
	return r;
}

/* ---- the burst ---- */

static void end_burst(struct session *s)
{
	loop_timer_remove(s->loop, s->burst_timer);
	s->burst_timer = -1;
	s->burst = 0;
}

static void on_burst(void *ctx)
{
	struct session *s = ctx;
	struct error err = { 0 };
	uint64_t now = monotonic_ns();
	bool late = now - s->burst_sent_ns > BURST_PATIENCE_MS * 1000000ull;

	if (s->burst < BURST_ROUNDS && !s->pong && !late)
		return;
	s->lost_pongs += s->burst < BURST_ROUNDS && !s->pong;
	if (!s->burst || s->done || !s->in_window || session_ping(s, &err)) {
		end_burst(s);
		return;
	}
	s->burst--;
	s->burst_sent_ns = now;
}

static void start_burst(struct session *s)
{
	struct error err = { 0 };

	end_burst(s);
	if (!s->in_window || s->done)
		return;
	s->burst = BURST_ROUNDS;
	s->burst_timer = loop_timer(s->loop, 0, BURST_PERIOD_MS * 1000000ull, on_burst, s, &err);
	if (s->burst_timer < 0)
		log_warn("the new epoch's clock is bounded after the window only: %s", err.text);
}

/* ---- breaks ---- */

/* An exchange under way mixes both offsets: its pong is void. */
static void void_exchange(struct session *s)
{
	s->ping_id++;
	s->pong = true;
	end_burst(s);
}

void session_break(struct session *s, int what)
{
	session_note_time(s);
	s->before_stop = s->anchor;
	clock_track_until(s->clock, (struct host_tsc){ s->anchor.before });
	clock_track_break(s->clock);
	void_exchange(s);
	mark(s, (enum vm_mark)what, s->anchor.ns);
}

/* Host TSC of an event, between the last anchor before the stop and now. False: its stamp fits nowhere there. */
static bool place_event(struct session *s, const struct vm_event *e, uint64_t *lo, uint64_t *hi)
{
	const struct clock_anchor before = s->before_stop, first = s->first_anchor;

	session_note_time(s);
	int64_t ns = s->anchor.ns - first.ns;
	uint64_t cycles = s->anchor.before - first.before;
	if (ns < 1000000 || cycles > INT64_MAX)
		return false;
	uint64_t hz = (uint64_t)((long double)cycles * 1e9L / (long double)ns);
	return clock_anchor_tsc(&before, &s->anchor, hz, e->realtime_ns, lo, hi);
}

static void on_stop(struct session *s, const struct vm_event *e, enum vm_mark what)
{
	uint64_t lo, hi;

	s->foreign_stop = !clock_track_broken(s->clock);
	if (s->foreign_stop)
		s->before_stop = s->anchor;
	s->stopped_ns = e->realtime_ns;
	mark(s, what, e->realtime_ns);
	/* Whoever stopped it, and however long before: up to the last observation the epoch is proved. */
	clock_track_break(s->clock);
	void_exchange(s);
	s->clock_breaks++;
	s->stopped = place_event(s, e, &lo, &hi) ? (struct host_tsc){ hi } : host_tsc_now();
}

/* No guest code ran between STOP and RESUME, so the new epoch holds from RESUME on. */
static void on_resume(struct session *s, const struct vm_event *e)
{
	uint64_t lo, hi;

	mark(s, VM_MARK_RESUME, e->realtime_ns);
	clock_track_break(s->clock);
	void_exchange(s);
	s->clock_breaks++;
	if (s->stopped.cycles && place_event(s, e, &lo, &hi)) {
		size_t next = clock_track_epochs(s->clock);
		clock_track_since(s->clock, (struct host_tsc){ lo > s->stopped.cycles ? lo : s->stopped.cycles });
		if (s->foreign_stop && next < CLOCK_EPOCHS_MAX)
			s->resumed[next] = lo;
	}
	s->stopped.cycles = 0;
	session_observe_exact(s);
	start_burst(s);
}

/* The guest runs on while its memory is copied; that it stops then is an event of its own, and was said before. */
static void on_migration(struct session *s, const struct vm_event *e)
{
	if (!strcmp(e->status, "completed") && !s->vm_moves)
		mark(s, VM_MARK_MIGRATION, s->stopped_ns ? s->stopped_ns : e->realtime_ns);
}

static void heed(struct session *s, const struct vm_event *e)
{
	if (!strcmp(e->name, "STOP") || !strcmp(e->name, "SUSPEND"))
		on_stop(s, e, VM_MARK_STOP);
	else if (!strcmp(e->name, "RESUME") || !strcmp(e->name, "WAKEUP"))
		on_resume(s, e);
	else if (!strcmp(e->name, "RESET"))
		on_stop(s, e, VM_MARK_RESET);
	else if (!strcmp(e->name, "MIGRATION"))
		on_migration(s, e);
}

void session_heed_events(struct session *s)
{
	struct vm_event e;

	while (s->vm && vm_event_take(s->vm, &e)) {
		heed(s, &e);
		if (s->on_event)
			s->on_event(s->on_event_ctx, &e);
	}
}

void session_heed(struct session *s)
{
	session_heed_events(s);
}

void session_on_event(struct session *s, void (*fn)(void *ctx, const struct vm_event *e), void *ctx)
{
	s->on_event = fn;
	s->on_event_ctx = ctx;
}

int session_move_prepare(struct session *s, const char *control, const char *data, struct error *err)
{
	s->vm_moves = !link_move_prepare(s->link, control, data, err);
	return s->vm_moves ? 0 : -1;
}

void session_move(struct session *s, bool moved)
{
	s->vm_moves = false;
	if (!moved) {
		link_move_cancel(s->link);
		return;
	}
	mark(s, VM_MARK_MIGRATION, s->stopped_ns);
	link_move(s->link);
	session_reopen_exact(s);
	/* What was sent before went to the old QEMU. */
	if (clock_track_broken(s->clock)) {
		void_exchange(s);
		start_burst(s);
	}
}

bool session_settled(const struct session *s)
{
	return !s->burst;
}

void session_renew(struct session *s)
{
	if (!clock_track_broken(s->clock))
		return;
	clock_track_since(s->clock, host_tsc_now());
	session_observe_exact(s);
	start_burst(s);
}
