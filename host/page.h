/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A page of `bifocal show` on a terminal: colours, columns counted as the eye counts them, lines of facts. */
#ifndef BIFOCAL_HOST_PAGE_H
#define BIFOCAL_HOST_PAGE_H

#include "host/show.h"
#include "host/term.h"

enum { LABEL = 12 };               /* columns of a line's first word */

struct page {
	const struct summary *sum;
	const struct attrs *a;
	const struct attribution *at;
	int width;
	bool colour;
};

enum ink { INK_TITLE, INK_DIM, INK_GOOD, INK_BAD, INK_WARN, INK_BAR };

/* The escape that begins a colour, and the one that ends any; "" on a page without. */
const char *page_ink(const struct page *p, enum ink i);
const char *page_plain(const struct page *p);
void page_heading(const struct page *p, const char *text);
void page_right(const char *text, int columns);
void page_left(const char *text, int columns);
/* 1234567 → "1,234,567" */
char *page_grouped(uint64_t v, char *dst, size_t cap);

/* The same up to ten million, then "12.3 M": for columns. */
char *page_count(uint64_t v, char *dst, size_t cap);

/* A line of facts behind a label, parted by dots; folds at the page's width. */
struct facts {
	const struct page *p;
	int column;
	int indent;                /* of its second line and on */
};

void facts_begin(struct facts *f, const struct page *p, const char *label);
/* Empty ones are left out. */
void fact(struct facts *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void facts_end(void);

/* Text behind a label, folded at blanks; control characters, which may come from a foreign database, as '?'. */
void page_text(const struct page *p, const char *label, const char *text);
/* "± 812 ns" in so many columns, blank where there is nothing to bound, "unknown" where it is infinite. */
void page_bound(const struct page *p, double ns, int columns);
/* The name of the time between two boundaries in so many columns. A merged one is marked, and what does not fit of it is left in
 * *rest ("" if nothing is), for a line of its own below. */
void page_span(unsigned from, unsigned to, int columns, char rest[PHASE_SPAN_MAX]);

/* Where the time went: the phases, what makes the tail, what is merged and why. */
void show_phases(const struct page *p);
/* Requests matched and not, vantages, causality. */
void show_account(const struct page *p);
void show_clock(const struct page *p);
/* CPU time by thread role, steal, and whatever else probes emitted. */
void show_probes(const struct page *p);

#endif
