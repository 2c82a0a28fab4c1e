/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The session's clock: every method that is available observes, the track intersects. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "host/clock/sandwich.h"
#include "host/run/session_priv.h"

enum {
	PONG_MS = 100,             /* a plain message may be lost; the next one is not held up long */
	PAIR_MS = 500,             /* the guest may have to load the driver first */
	LOST_MAX = 20,             /* in a row: this agent does not answer */
	SETTLED_ROUNDS = 64,       /* no narrower over so many rounds: it will not get much better */
	PAIR_EVERY = 8,            /* rounds to a pairing */
};

enum { EXACT, PAIRING, EXCHANGE };
static const struct clock_method *const methods[SESSION_METHODS] = { &clock_exact, &clock_pairing, &clock_exchange };

static void keep_sample(struct session *s, enum clock_tier tier, const struct clock_observation *o, int epoch)
{
	if (s->samples == SESSION_CLOCK_SAMPLES)
		return;
	s->sample[s->samples++] = (struct clock_sample){
		.host_tsc = o->at.cycles, .lo = o->offset.lo, .hi = o->offset.hi, .tier = (uint8_t)tier, .epoch = (uint32_t)epoch,
	};
}

static int take(struct session *s, enum clock_tier tier, const struct clock_observation *o)
{
	struct error err = { 0 };
	bool broken = clock_track_broken(s->clock);
	size_t before = clock_track_epochs(s->clock);
	int epoch = clock_track_add(s->clock, tier, o->at, o->offset, &err);

	if (epoch < 0)
		return -1;
	if (before && !broken && (size_t)epoch == before)
		s->clock_jumps++;
	keep_sample(s, tier, o, epoch);
	return 0;
}

/* ---- the port as the methods see it ---- */

static struct host_tsc scaled(const struct session *s, struct host_tsc t)
{
	return (struct host_tsc){ tsc_scale_up(s->target.scale, t.cycles) };
}

/* In a window nobody waits for a pong. */
static void take_burst(struct session *s)
{
	struct clock_observation o = { .at = s->four.t4 };

	if (!exchange_interval(scaled(s, s->four.t1), s->four.t2, s->four.t3, scaled(s, s->four.t4), &o.offset) || take(s, TIER_EXCHANGE, &o))
		s->refused_pongs++;
}

void session_on_pong(struct session *s, const struct msg_clock_pong *m, struct host_tsc at)
{
	/* What QEMU has to say of its clock comes first: a break makes this ping void. */
	session_heed_events(s);
	/* A late answer to an earlier ping, or a stamp we never sent, tells nothing about this exchange. */
	if (s->pong || m->id != s->ping_id)
		return;
	s->pong = true;
	/* Our own stamp, not the guest's word for it. */
	s->four = (struct clock_four){ s->ping_sent, { m->t2 }, { m->t3 }, at };
	if (s->in_window)
		take_burst(s);
}

void session_on_paired(struct session *s, const struct msg_clock_paired *m)
{
	if (s->paired || m->id != s->pair_id)
		return;
	s->paired = true;
	s->pair = (struct clock_paired){ m->ok == 1, { m->before }, { m->after }, m->host_ns };
}

/* 0: answered; 1: not in time; -1 with err. */
static int answered(struct session *s, const bool *flag, uint64_t ms, const char *what, struct error *err)
{
	if (!session_wait(s, flag, ms, what, err))
		return 0;
	if (err->code != ERR_TIMEOUT)
		return -1;
	*err = (struct error){ 0 };
	return 1;
}

static int ask_pair(void *ctx, struct clock_paired *out, struct error *err)
{
	struct session *s = ctx;
	const struct msg_clock_pair m = { .id = ++s->pair_id };

	s->paired = false;
	if (channel_send_clock_pair(link_commands(s->link), &m, CHANNEL_DROP_OLDEST, err) < 0)
		return -1;
	unsigned breaks = s->clock_breaks;
	int r = answered(s, &s->paired, PAIR_MS, "the guest's reading of the host's clock", err);
	session_heed_events(s);
	r = !r && s->clock_breaks != breaks ? 1 : r;
	if (!r)
		*out = s->pair;
	return r;
}

int session_ping(struct session *s, struct error *err)
{
	s->pong = false;
	s->ping_id++;
	s->clock_rounds++;
	return link_ping(s->link, s->ping_id, &s->ping_sent, err);
}

static int ask_exchange(void *ctx, struct clock_four *out, struct error *err)
{
	struct session *s = ctx;

	if (session_ping(s, err))
		return -1;
	uint64_t id = s->ping_id;
	int r = answered(s, &s->pong, PONG_MS, "the answer to a clock ping", err);
	/* A break meanwhile made it void: there is no answer, though nobody waits for it any more. */
	r = !r && s->ping_id != id ? 1 : r;
	s->lost_pongs += r > 0;
	if (!r)
		*out = s->four;
	return r;
}

/* ---- the methods ---- */

static bool is_kvm(struct session *s)
{
	char *text = NULL;
	/* Somebody else's guest: the methods find out. */
	if (!s->vm)
		return true;
	bool kvm = vm_qmp(s->vm, "query-kvm", NULL, &text, NULL) == 0 && strstr(text, "\"enabled\":true");
	free(text);
	return kvm;
}

static void open_methods(struct session *s)
{
	s->methods_open = true;
	s->wire = (struct clock_wire){ .exchange = ask_exchange, .pair = ask_pair, .ctx = s };
	s->target = (struct clock_target){
		.wire = &s->wire, .qemu = s->vm ? vm_pid(s->vm) : link_peer_pid(s->link), .kvm = is_kvm(s),
	};
	for (int i = 0; i < SESSION_METHODS; i++)
		s->method[i] = methods[i]->open(&s->target, s->method_why[i]);
}

void session_reopen_exact(struct session *s)
{
	if (!s->methods_open || !s->target.kvm)
		return;
	s->target.qemu = vm_pid(s->vm);
	methods[EXACT]->free(s->method[EXACT]);
	s->method[EXACT] = methods[EXACT]->open(&s->target, s->method_why[EXACT]);
}

void session_close_methods(struct session *s)
{
	for (int i = 0; i < SESSION_METHODS; i++) {
		methods[i]->free(s->method[i]);
		s->method[i] = NULL;
	}
}

/* A method that fails is not asked again; the others go on. */
static void observe(struct session *s, int i)
{
	struct clock_observation o;
	struct error err = { 0 };
	int r = s->method[i] ? methods[i]->observe(s->method[i], &o, &err) : 0;

	if (r > 0 && take(s, methods[i]->tier, &o))
		r = 0;
	s->method_missed[i] += s->method[i] && r == 0;
	if (r >= 0)
		return;
	log_warn("clock tier %s: %s", methods[i]->name, err.text);
	snprintf(s->method_why[i], sizeof(s->method_why[i]), "%.*s", CLOCK_WHY_MAX - 1, err.text);
	methods[i]->free(s->method[i]);
	s->method[i] = NULL;
}

void session_observe_exact(struct session *s)
{
	if (s->methods_open)
		observe(s, EXACT);
}

static uint64_t bound_now(const struct session *s)
{
	size_t n = clock_track_epochs(s->clock);
	int64_t mid;
	uint64_t half = UINT64_MAX;
	if (n)
		clock_epoch_bound(clock_track_epoch(s->clock, n - 1), &mid, &half);
	return half;
}

/* 0: answered; 1: not in time; -1 with err. */
static int one_round(struct session *s, struct error *err)
{
	unsigned lost = s->lost_pongs;
	struct clock_observation o;
	int r = methods[EXCHANGE]->observe(s->method[EXCHANGE], &o, err);

	if (r < 0)
		return -1;
	if (s->lost_pongs != lost)
		return 1;
	s->refused_pongs += !r || take(s, TIER_EXCHANGE, &o);
	return 0;
}

static int exchanges(struct session *s, struct error *err)
{
	uint64_t settled = UINT64_MAX;
	unsigned lost = 0;
	for (unsigned i = 0; i < CLOCK_ROUNDS_MAX; i++) {
		int r = one_round(s, err);
		if (r < 0)
			return -1;
		lost = r ? lost + 1 : 0;
		if (lost == LOST_MAX)
			return error_set(err, ERR_TIMEOUT, "the guest left %d clock pings in a row unanswered", LOST_MAX);
		if (i % PAIR_EVERY == 0)
			observe(s, PAIRING);
		if ((i + 1) % SETTLED_ROUNDS)
			continue;
		uint64_t now = bound_now(s);
		if (i + 1 >= CLOCK_ROUNDS_MIN && settled - now <= settled / 50)
			break;
		settled = now;
	}
	return 0;
}

int session_clock(struct session *s, struct error *err)
{
	if (!s->methods_open)
		open_methods(s);
	session_note_time(s);
	observe(s, EXACT);
	int r = exchanges(s, err);
	observe(s, EXACT);
	session_note_time(s);
	return r;
}

unsigned session_jumps(const struct session *s)
{
	return s->clock_jumps;
}

struct tsc_scale session_scale(const struct session *s)
{
	return s->target.scale;
}

/* ---- into the store ---- */

/* "tsc" is listed as long as the kernel trusts it. */
static bool lists_tsc(const char *sources)
{
	for (const char *p = strstr(sources, "tsc"); p; p = strstr(p + 3, "tsc"))
		if ((p == sources || p[-1] == ' ') && (p[3] == ' ' || p[3] == '\n' || !p[3]))
			return true;
	return false;
}

static bool host_unstable(void)
{
	char text[256] = "";
	FILE *f = fopen("/sys/devices/system/clocksource/clocksource0/available_clocksource", "re");
	bool known = f && fgets(text, sizeof(text), f);

	if (f)
		fclose(f);
	return known && !lists_tsc(text);
}

/*
 * Where epoch i ends at the earliest, when QEMU stopped without a word of ours before. It halted the guest's clock with the vCPUs and let it go on
 * from there, so what the clock showed at the RESUME (by the next epoch) it also showed when it was halted (by this one). QEMU says RESUME before it
 * lets the clock run, so the guest's TSC was not yet at resumed + offset; thus the moment found lies before the halt, never behind it.
 * KVM's clock runs on while a VM stops, or is written at a moment of its own: nothing is said there.
 */
static uint64_t ended(const struct session *s, size_t i)
{
	const struct clock_epoch *e = clock_track_epoch(s->clock, i), *next = clock_track_epoch(s->clock, i + 1);
	uint64_t from = next && i + 1 < CLOCK_EPOCHS_MAX ? s->resumed[i + 1] : 0;

	if (!from || s->target.kvm)
		return e->last.cycles;
	uint64_t at = from + (uint64_t)next->offset.lo - (uint64_t)e->offset.hi;
	return at > e->last.cycles && at < from ? at : e->last.cycles;
}

static int put_epochs(struct session *s, struct store_batch *b, uint64_t run, struct error *err)
{
	for (size_t i = 0; i < clock_track_epochs(s->clock); i++) {
		const struct clock_epoch *e = clock_track_epoch(s->clock, i);
		const struct store_epoch out = {
			.epoch = (uint32_t)i, .tier = (uint8_t)e->tier, .first_host = e->first.cycles, .last_host = ended(s, i),
			.lo = e->offset.lo, .hi = e->offset.hi, .samples = e->samples,
		};
		if (put_epoch(b, run, &out, err))
			return -1;
	}
	return 0;
}

static int put_methods(struct session *s, struct store_batch *b, uint64_t run, struct error *err)
{
	for (int i = 0; i < SESSION_METHODS && s->methods_open; i++) {
		char key[64];
		snprintf(key, sizeof(key), "clock.absent.%s", methods[i]->name);
		if (!s->method[i] && put_attr(b, run, key, s->method_why[i], err))
			return -1;
		snprintf(key, sizeof(key), "clock.missed.%s", methods[i]->name);
		if (s->method[i] && put_attr_u64(b, run, key, s->method_missed[i], err))
			return -1;
	}
	const struct tsc_scale scale = s->target.scale;
	if (scale.ratio && (put_attr_u64(b, run, "clock.ratio", scale.ratio, err) || put_attr_u64(b, run, "clock.frac", scale.frac, err)))
		return -1;
	return 0;
}

/* Which thread runs which of the guest's CPUs: what `sandwich` needs besides the streams. QEMU's threads are gone by the time it asks. */
static void learn_vcpus(struct session *s)
{
	struct probe_thread *t = s->vm ? calloc(VM_THREADS_MAX, sizeof(*t)) : NULL;
	size_t n = t ? vm_threads(s->vm, t, VM_THREADS_MAX) : 0;

	for (size_t i = 0; i < n; i++)
		if (!strcmp(t[i].role, "vcpu") && t[i].index >= 0 && t[i].index < CLOCK_VCPUS_MAX) {
			s->vcpu_tid[t[i].index] = t[i].tid;
			s->vcpus = (unsigned)t[i].index >= s->vcpus ? (unsigned)t[i].index + 1 : s->vcpus;
		}
	free(t);
}

static int put_vcpus(struct session *s, struct store_batch *b, uint64_t run, struct error *err)
{
	learn_vcpus(s);
	for (unsigned i = 0; i < s->vcpus; i++) {
		char key[64];
		snprintf(key, sizeof(key), "clock.vcpu.%u", i);
		if (s->vcpu_tid[i] && put_attr_u64(b, run, key, (uint64_t)s->vcpu_tid[i], err))
			return -1;
	}
	return 0;
}

int session_put_clock(struct session *s, struct store_batch *b, uint64_t run, struct error *err)
{
	const struct { const char *key; uint64_t v; } rows[] = {
		{ "clock.rounds", s->clock_rounds }, { "clock.breaks", s->clock_breaks }, { "clock.jumps", s->clock_jumps },
		{ "clock.lost_pongs", s->lost_pongs }, { "clock.refused_pongs", s->refused_pongs },
		{ "clock.guest_unstable", *s->guest.clocksource && !lists_tsc(s->guest.clocksource) }, { "clock.host_unstable", host_unstable() },
	};
	if (s->samples && put_clock_chunk(b, run, 0, s->sample, s->samples, err))
		return -1;
	if (put_epochs(s, b, run, err) || put_methods(s, b, run, err) || put_vcpus(s, b, run, err))
		return -1;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (put_attr_u64(b, run, rows[i].key, rows[i].v, err))
			return -1;
	return session_put_marks(s, b, run, err);
}

/* ---- the sandwich ---- */

static int put_sandwich(struct session *s, uint64_t run, const struct sandwich_result *r, struct error *err)
{
	struct store_batch *b = intake_batch(s->intake);
	uint64_t refused = 0;

	for (size_t i = 0; i < r->samples; i++) {
		const struct clock_sample *c = &r->sample[i];
		refused += clock_track_narrow(s->clock, c->epoch, TIER_SANDWICH, (struct clock_interval){ c->lo, c->hi }) != 0;
	}
	if ((r->samples && put_clock_chunk(b, run, 1, r->sample, r->samples, err)) || put_epochs(s, b, run, err) ||
	    put_attr_u64(b, run, "clock.sandwich.stamps", r->stamps, err) ||
	    put_attr_u64(b, run, "clock.sandwich.contradictions", r->contradictions + refused, err))
		return -1;
	return 0;
}

/* What the exchange alone says of the epoch: the sandwich begins with that, so that it owes nothing to the tighter tiers, and
 * can be held against them. */
static void only_exchange(const struct session *s, size_t epoch, struct clock_interval *out)
{
	bool any = false;

	for (size_t i = 0; i < s->samples; i++) {
		const struct clock_sample *c = &s->sample[i];
		if (c->tier != TIER_EXCHANGE || c->epoch != epoch)
			continue;
		if (!any || (int64_t)((uint64_t)c->lo - (uint64_t)out->lo) > 0)
			out->lo = c->lo;
		if (!any || (int64_t)((uint64_t)c->hi - (uint64_t)out->hi) < 0)
			out->hi = c->hi;
		any = true;
	}
}

int session_sandwich(struct session *s, uint64_t run, struct error *err)
{
	struct clock_epoch coarse[SANDWICH_EPOCHS_MAX];
	struct sandwich_result r;
	size_t n = clock_track_epochs(s->clock);

	if (!n || !s->vcpus || !s->target.kvm)
		return 0;
	n = n < SANDWICH_EPOCHS_MAX ? n : SANDWICH_EPOCHS_MAX;
	for (size_t i = 0; i < n; i++) {
		coarse[i] = *clock_track_epoch(s->clock, i);
		only_exchange(s, i, &coarse[i].offset);
	}
	if (sandwich_run(s->store, run, s->vcpu_tid, s->vcpus, s->target.scale, coarse, n, &r, err))
		return -1;
	int failed = r.stamps ? put_sandwich(s, run, &r, err) : 0;
	free(r.sample);
	return failed;
}
