/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The four-stamp exchange over the port: pings out, pongs into the track. */
#include "common/log.h"
#include "host/run/session_priv.h"

enum {
	PONG_MS = 100,             /* a plain message may be lost; the next one is not held up long */
	LOST_MAX = 20,             /* in a row: this agent does not answer */
	SETTLED_ROUNDS = 64,       /* no narrower over so many rounds: it will not get much better */
};

static void keep_sample(struct session *s, struct host_tsc at, struct clock_interval iv, int epoch)
{
	if (s->samples == SESSION_CLOCK_SAMPLES)
		return;
	s->sample[s->samples++] = (struct clock_sample){
		.host_tsc = at.cycles, .lo = iv.lo, .hi = iv.hi, .tier = TIER_EXCHANGE, .epoch = (uint32_t)epoch,
	};
}

void session_on_pong(struct session *s, const struct msg_clock_pong *m, struct host_tsc at)
{
	struct clock_interval iv;
	struct error err = { 0 };
	/* A late answer to an earlier ping, or a stamp we never sent, tells nothing about this exchange. */
	if (s->pong || m->id != s->ping_id)
		return;
	s->pong = true;
	/* Our own stamp, not the guest's word for it. */
	if (!exchange_interval(s->ping_sent, (struct guest_tsc){ m->t2 }, (struct guest_tsc){ m->t3 }, at, &iv)) {
		s->refused_pongs++;
		return;
	}
	int epoch = clock_track_add(s->clock, TIER_EXCHANGE, at, iv, &err);
	if (epoch < 0) {
		s->refused_pongs++;
		return;
	}
	keep_sample(s, at, iv, epoch);
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

static int one_round(struct session *s, struct error *err)
{
	s->pong = false;
	s->ping_id++;
	s->clock_rounds++;
	if (link_ping(s->link, s->ping_id, &s->ping_sent, err))
		return -1;
	if (!session_wait(s, &s->pong, PONG_MS, "the answer to a clock ping", err))
		return 0;
	if (err->code != ERR_TIMEOUT)
		return -1;
	s->lost_pongs++;
	*err = (struct error){ 0 };
	return 1;
}

int session_clock(struct session *s, struct error *err)
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
		if ((i + 1) % SETTLED_ROUNDS)
			continue;
		uint64_t now = bound_now(s);
		if (i + 1 >= CLOCK_ROUNDS_MIN && settled - now <= settled / 50)
			break;
		settled = now;
	}
	return 0;
}
