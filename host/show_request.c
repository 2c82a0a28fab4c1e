/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `bifocal show RUN --request`: one request's way across the vantages, boundary by boundary. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/units.h"
#include "host/page.h"

static const char *op_name(unsigned op)
{
	static const char *const names[SUMMARY_OPS] = { "read", "write", "flush", "discard" };
	return op < SUMMARY_OPS ? names[op] : "unknown";
}

static bool seen(const struct attributed *r, unsigned b)
{
	return r->seen & 1u << b;
}

/* The boundary seen before `b`; -1 if none is. */
static int before(const struct attributed *r, unsigned b)
{
	for (int i = (int)b - 1; i >= 0; i--)
		if (seen(r, (unsigned)i))
			return i;
	return -1;
}

/* From one boundary to another, signed: a violation is shown as it is. */
static double between_ns(const struct attribution *at, const struct attributed *r, unsigned from, unsigned to)
{
	return attribution_ns(at, (double)(int64_t)(r->at[to] - r->at[from]));
}

static double bound_ns(const struct attribution *at, const struct attributed *r, unsigned from, unsigned to)
{
	return show_bound_ns(at, attributed_bound(r, from, to));
}

/* ---- for people ---- */

enum { TIME = 12, BOUND = 11, BOUNDARY = 16, VANTAGE = 14, THREAD = 9, PHASE_COLUMNS = 18, PHASE_WIDE = 34, AXIS_MAX = 100, LEFT = TIME + BOUND + 2 };

struct waterfall {
	const struct page *p;
	const struct attributed *r;
	double total;
	int phase, axis;               /* columns of a phase's name, and of the time axis */
};

static void title(const struct page *p, const struct attributed *r, const char *role)
{
	char size[32], n[32];
	struct facts f;
	printf("%sRun %llu, request %llu%s%s%s%s\n\n", page_ink(p, INK_TITLE), (unsigned long long)p->sum->run.run, (unsigned long long)r->index, page_plain(p),
	       page_ink(p, INK_DIM), *role ? " · " : "", role);
	printf("%s", page_plain(p));
	facts_begin(&f, p, "request");
	fact(&f, "%s", op_name(r->io.op));
	if (r->io.op != IO_FLUSH) {
		fact(&f, "%s", format_size(r->io.length, size, sizeof(size)));
		fact(&f, "sector %s", page_grouped(r->io.sector, n, sizeof(n)));
	}
	fact(&f, "job %u", r->io.job);
	if (r->io.result < 0)
		fact(&f, "%sfailed: %s%s", page_ink(p, INK_BAD), r->io.result > -4096 ? strerror(-r->io.result) : "with no known error", page_plain(p));
	if (r->io.flags & IO_IN_RAMP)
		fact(&f, "in the ramp");
	facts_end();
}

static void outcome(const struct page *p, const struct attributed *r, double total)
{
	char text[32];
	struct facts f;
	facts_begin(&f, p, "took");
	fact(&f, "%s", format_ns(total, text, sizeof(text)));
	fact(&f, "submitted %s after the window opened",
	     format_ns(attribution_ns(p->at, (double)(int64_t)(r->io.submit - p->sum->window_open)), text, sizeof(text)));
	fact(&f, "served from %s", served_name(r->served));
	if (r->shared > 1)
		fact(&f, "%u I/Os merged into one request", r->shared);
	if (r->children > 1)
		fact(&f, "split into %u: the last to end is shown", r->children);
	if (r->requeues)
		fact(&f, "requeued %u time%s", r->requeues, r->requeues == 1 ? "" : "s");
	if (r->epoch)
		fact(&f, "epoch %u", r->epoch);
	facts_end();
	if (r->cause != CAUSE_MATCHED) {
		char line[256];
		snprintf(line, sizeof(line), "%s: %s", cause_name(r->cause), cause_text(r->cause));
		printf("%s", page_ink(p, INK_WARN));
		page_text(p, "not matched", line);
		printf("%s", page_plain(p));
	}
}

static void head(const struct waterfall *w)
{
	const struct page *p = w->p;
	char text[32];
	printf("\n%s", page_ink(p, INK_DIM));
	page_right("time", TIME);
	page_right("bound", BOUND);
	printf("  ");
	page_left("boundary", BOUNDARY);
	page_left("vantage", VANTAGE);
	page_right("thread", THREAD - 2);
	printf("  seen as%s\n", page_plain(p));
	/* The axis of the bars, from submit to reap. */
	printf("%*s%s", LEFT + w->phase, "", page_ink(p, INK_DIM));
	printf("0");
	page_right(format_ns(w->total, text, sizeof(text)), w->axis - 1);
	printf("%s\n", page_plain(p));
}

static void boundary_row(const struct waterfall *w, unsigned b)
{
	const struct page *p = w->p;
	char text[32];
	page_right(format_ns(between_ns(p->at, w->r, AT_APP_SUBMIT, b), text, sizeof(text)), TIME);
	page_bound(p, bound_ns(p->at, w->r, AT_APP_SUBMIT, b), BOUND);
	printf("  %s", page_ink(p, INK_TITLE));
	page_left(boundary_name(b), BOUNDARY);
	printf("%s", page_plain(p));
	page_left(show_vantage(w->r->kind[b]), VANTAGE);
	snprintf(text, sizeof(text), w->r->thread[b] ? "%u" : "–", w->r->thread[b]);
	page_right(text, THREAD - 2);
	printf("  %s\n", w->r->kind[b] ? sight_name(w->r->kind[b]) : "");
}

static void phase_row(const struct waterfall *w, unsigned from, unsigned to)
{
	const struct page *p = w->p;
	char text[32], number[32], bar[3 * AXIS_MAX + 1], rest[PHASE_SPAN_MAX];
	double took = between_ns(p->at, w->r, from, to), start = between_ns(p->at, w->r, AT_APP_SUBMIT, from), bound = bound_ns(p->at, w->r, from, to);
	bool violated = took < 0 && -took > bound;
	snprintf(text, sizeof(text), "%s%s", took < 0 ? "" : "+", format_ns(took, number, sizeof(number)));
	printf("%s", page_ink(p, violated ? INK_BAD : INK_DIM));
	page_right(text, TIME);
	printf("%s", page_plain(p));
	page_bound(p, bound, BOUND);
	printf("  %s│%s ", page_ink(p, INK_DIM), page_plain(p));
	page_span(from, to, w->phase - 2, rest);
	double lo = took < 0 ? start + took : start, hi = took < 0 ? start : start + took;
	if (w->total > 0)
		printf("%s%s%s", page_ink(p, violated ? INK_BAD : INK_BAR), term_span(lo / w->total, hi / w->total, w->axis, bar, sizeof(bar)), page_plain(p));
	printf("%s\n", violated ? " negative: causality violated" : "");
	if (*rest)
		printf("%*s  %s│%s  %s\n", TIME + BOUND, "", page_ink(p, INK_DIM), page_plain(p), rest);
}

/* What did not happen, and what nobody saw, with the reason where the run knows one. */
static void missing_lines(const struct page *p, const struct attributed *r)
{
	char line[VANTAGE_TEXT_MAX + 320];
	if ((r->seen & ((1u << BOUNDARIES) - 1)) != (1u << BOUNDARIES) - 1)
		putchar('\n');
	for (unsigned b = 0; b < BOUNDARIES; b++) {
		bool told = false;
		if (seen(r, b))
			continue;
		if (r->suppressed & 1u << b) {
			snprintf(line, sizeof(line), "%s: another request's did for this one too", boundary_name(b));
			page_text(p, "needless", line);
			continue;
		}
		for (unsigned i = 0; i < b; i++)
			told = told || (!seen(r, i) && !(r->suppressed & 1u << i) && !strcmp(p->at->absent[i], p->at->absent[b]));
		if (told)
			continue;
		size_t used = 0;
		for (unsigned i = b; i < BOUNDARIES; i++)
			if (!seen(r, i) && !(r->suppressed & 1u << i) && !strcmp(p->at->absent[i], p->at->absent[b]))
				used += (size_t)snprintf(line + used, sizeof(line) - used, "%s%s", used ? ", " : "", boundary_name(i));
		if (p->at->absent[b][0])
			snprintf(line + used, sizeof(line) - used, ": %s", p->at->absent[b]);
		page_text(p, "not seen", line);
	}
}

void show_request_text(const struct summary *sum, const struct attrs *a, const struct attribution *at, const struct attributed *r, const char *role)
{
	const struct page p = { sum, a, at, term_width(STDOUT_FILENO), term_colour(STDOUT_FILENO) };
	struct waterfall w = { &p, r, between_ns(at, r, AT_APP_SUBMIT, AT_APP_REAP), p.width < 110 ? PHASE_COLUMNS : PHASE_WIDE, 0 };
	w.axis = p.width - LEFT - w.phase - 1;
	w.axis = w.axis < 8 ? 8 : w.axis > AXIS_MAX ? AXIS_MAX : w.axis;
	title(&p, r, role);
	outcome(&p, r, w.total);
	head(&w);
	for (unsigned b = 0; b < BOUNDARIES; b++) {
		int from = before(r, b);
		if (!seen(r, b))
			continue;
		if (from >= 0)
			phase_row(&w, (unsigned)from, b);
		boundary_row(&w, b);
	}
	missing_lines(&p, r);
}

/* ---- for programs ---- */

static void put(json_t *o, const char *key, json_t *value)
{
	json_object_set_new(o, key, value);
}

/* JSON knows no infinity. */
static json_t *bound(double ns)
{
	return isfinite(ns) ? json_real(ns) : json_null();
}

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static json_t *boundary_json(const struct attribution *at, const struct attributed *r, unsigned b)
{
	json_t *o = json_object();
	put(o, "name", json_string(boundary_name(b)));
	put(o, "vantage", json_string(show_vantage(r->kind[b])));
	put(o, "at_ns", json_real(between_ns(at, r, AT_APP_SUBMIT, b)));
	put(o, "at_guest_tsc", number(r->at[b]));
	put(o, "bound_ns", bound(bound_ns(at, r, AT_APP_SUBMIT, b)));
	put(o, "thread", r->thread[b] ? number(r->thread[b]) : json_null());
	put(o, "sighting", r->kind[b] ? json_string(sight_name(r->kind[b])) : json_null());
	return o;
}

static json_t *phase_json(const struct attribution *at, const struct attributed *r, unsigned from, unsigned to)
{
	json_t *o = json_object();
	char name[PHASE_SPAN_MAX];
	put(o, "name", json_string(phase_span_name(from, to, name)));
	put(o, "from", json_string(boundary_name(from)));
	put(o, "to", json_string(boundary_name(to)));
	put(o, "merged", json_boolean(to > from + 1));
	put(o, "crosses_clocks", json_boolean(phase_crosses(from, to)));
	put(o, "ns", json_real(between_ns(at, r, from, to)));
	put(o, "cycles", json_integer((int64_t)(r->at[to] - r->at[from])));
	put(o, "bound_ns", bound(bound_ns(at, r, from, to)));
	return o;
}

static json_t *names_of(unsigned bits)
{
	json_t *list = json_array();
	for (unsigned b = 0; b < BOUNDARIES; b++)
		if (bits & 1u << b)
			json_array_append_new(list, json_string(boundary_name(b)));
	return list;
}

json_t *show_request_json(const struct summary *sum, const struct attribution *at, const struct attributed *r, const char *role)
{
	json_t *o = json_object(), *boundaries = json_array(), *phases = json_array();
	put(o, "run", number(sum->run.run));
	put(o, "request", number(r->index));
	put(o, "role", *role ? json_string(role) : json_null());
	put(o, "op", json_string(op_name(r->io.op)));
	put(o, "sector", number(r->io.sector));
	put(o, "length", number(r->io.length));
	put(o, "job", number(r->io.job));
	put(o, "result", json_integer(r->io.result));
	put(o, "in_ramp", json_boolean(r->io.flags & IO_IN_RAMP));
	put(o, "submit_ns", json_real(attribution_ns(at, (double)(int64_t)(r->io.submit - sum->window_open))));
	put(o, "total_ns", json_real(between_ns(at, r, AT_APP_SUBMIT, AT_APP_REAP)));
	put(o, "cause", json_string(cause_name(r->cause)));
	put(o, "served_from", json_string(served_name(r->served)));
	put(o, "epoch", number(r->epoch));
	put(o, "clock_bound_ns", bound(show_bound_ns(at, r->offset_err)));
	put(o, "merged_ios", number(r->shared));
	put(o, "split_into", number(r->children));
	put(o, "requeues", number(r->requeues));
	put(o, "causality_violations", number(r->violations));
	for (unsigned b = 0; b < BOUNDARIES; b++) {
		int from = before(r, b);
		if (!seen(r, b))
			continue;
		json_array_append_new(boundaries, boundary_json(at, r, b));
		if (from >= 0)
			json_array_append_new(phases, phase_json(at, r, (unsigned)from, b));
	}
	put(o, "boundaries", boundaries);
	put(o, "phases", phases);
	put(o, "suppressed", names_of(r->suppressed));
	put(o, "not_seen", names_of(~(unsigned)r->seen & ~(unsigned)r->suppressed & ((1u << BOUNDARIES) - 1)));
	return o;
}
