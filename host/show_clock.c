/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The clock box: how the guest's and the host's stamps were related, by which tiers, and how tightly. */
#include <math.h>
#include <stdio.h>

#include "common/clock_tier.h"
#include "common/units.h"
#include "host/page.h"

enum { EPOCH_ROWS = 8, BOUND = 11, COUNT = 11 };

static const char *const tier_text[] = {
#define T(number, NAME, name, text) [number] = text,
	CLOCK_TIERS(T)
#undef T
};

enum { TIERS_END = sizeof(tier_text) / sizeof(tier_text[0]) };

static void facts_of(const struct page *p, unsigned tier, double bound_ns, uint64_t epochs, uint64_t samples)
{
	char bound[32], n[32];
	struct facts f;
	facts_begin(&f, p, "guest−host");
	if (!tier) {
		fact(&f, "not related: no exchange was answered");
		facts_end();
		return;
	}
	fact(&f, "known to ± %s", format_ns(bound_ns, bound, sizeof(bound)));
	fact(&f, "tier %s", clock_tier_name(tier));
	fact(&f, "%llu epoch%s", (unsigned long long)epochs, epochs == 1 ? "" : "s");
	fact(&f, "%s samples", page_grouped(samples, n, sizeof(n)));
	fact(&f, "TSC %.3f MHz, guest %.3f MHz", (double)p->sum->host_hz / 1e6, (double)p->sum->guest_hz / 1e6);
	if (p->sum->clock.jumped)
		fact(&f, "%sthe clock jumped inside the window%s", page_ink(p, INK_WARN), page_plain(p));
	facts_end();
}

/* An interval of all 2^64 cycles, or nearly, says nothing. */
static const char *half_text(const struct page *p, int64_t lo, int64_t hi, char *dst, size_t cap)
{
	char number[32];
	snprintf(dst, cap, "± %s", format_ns(show_half_ns(p->at, lo, hi), number, sizeof(number)));
	return dst;
}

static void tier_row(const struct page *p, unsigned tier, const struct tier_bound *t, bool best)
{
	char text[48];
	printf("  %s", best ? page_ink(p, INK_TITLE) : t->samples ? "" : page_ink(p, INK_DIM));
	page_left(clock_tier_name(tier), LABEL);
	page_right(t->samples ? half_text(p, t->lo, t->hi, text, sizeof(text)) : "–", BOUND);
	page_right(t->samples ? page_count(t->samples, text, sizeof(text)) : "none", COUNT);
	printf("%s  %s%s%s\n", page_plain(p), page_ink(p, INK_DIM), tier_text[tier], page_plain(p));
}

static void tier_rows(const struct page *p, const struct epoch_bound *e)
{
	printf("%s  ", page_ink(p, INK_DIM));
	page_left("tier", LABEL);
	page_right("bound", BOUND);
	page_right("samples", COUNT);
	printf("%s\n", page_plain(p));
	for (unsigned t = 1; t < TIERS_END; t++)
		tier_row(p, t, &e->by_tier[t], t == e->tier);
}

static void epoch_rows(const struct page *p)
{
	const struct attribution *at = p->at;
	char text[48], label[32];
	for (uint32_t i = 0; i < at->epochs_kept && i < EPOCH_ROWS; i++) {
		const struct epoch_bound *e = &at->epoch[i];
		struct facts f;
		snprintf(label, sizeof(label), "epoch %u", e->epoch);
		facts_begin(&f, p, label);
		fact(&f, "%s", half_text(p, e->lo, e->hi, text, sizeof(text)));
		fact(&f, "tier %s", clock_tier_name(e->tier));
		fact(&f, "%s requests", page_grouped(e->requests, text, sizeof(text)));
		facts_end();
	}
	if (at->epochs > EPOCH_ROWS)
		printf("  %s%u more epochs: --json has %s%s\n", page_ink(p, INK_DIM), at->epochs - EPOCH_ROWS,
		       at->epochs > at->epochs_kept ? "the first 256" : "all", page_plain(p));
}

void show_clock(const struct page *p)
{
	const struct summary_clock *c = &p->sum->clock;
	const struct epoch_bound *e = p->at ? show_epoch(p->at) : NULL;
	page_heading(p, "Clock");
	if (!e || !e->tier) {
		facts_of(p, c->tier, c->bound_ns, c->epochs, c->samples);
		return;
	}
	uint64_t samples = 0;
	for (unsigned t = 1; t < TIERS_END; t++)
		samples += e->by_tier[t].samples;
	facts_of(p, e->tier, show_half_ns(p->at, e->lo, e->hi), p->at->epochs, samples);
	if (p->at->epochs > 1)
		epoch_rows(p);
	tier_rows(p, e);
}
