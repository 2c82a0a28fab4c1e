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

/* A line of facts behind a label, parted by dots; folds at the page's width. */
struct facts {
	const struct page *p;
	int column;
};

void facts_begin(struct facts *f, const struct page *p, const char *label);
/* Empty ones are left out. */
void fact(struct facts *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void facts_end(void);

/* CPU time by thread role, steal, and whatever else probes emitted. */
void show_probes(const struct page *p);

#endif
