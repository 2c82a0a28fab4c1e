/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/page.h"

#include <stdarg.h>
#include <stdio.h>

const char *page_ink(const struct page *p, enum ink i)
{
	static const char *const escape[] = {
		[INK_TITLE] = "\033[1m", [INK_DIM] = "\033[2m", [INK_GOOD] = "\033[32m",
		[INK_BAD] = "\033[31m", [INK_WARN] = "\033[33m", [INK_BAR] = "\033[36m",
	};
	return p->colour ? escape[i] : "";
}

const char *page_plain(const struct page *p)
{
	return p->colour ? "\033[0m" : "";
}

void page_heading(const struct page *p, const char *text)
{
	printf("\n%s%s%s\n", page_ink(p, INK_TITLE), text, page_plain(p));
}

/* Columns still wanted; printf's own padding counts bytes. */
static int missing(const char *text, int columns)
{
	int n = columns - term_columns(text);
	return n > 0 ? n : 0;
}

void page_right(const char *text, int columns)
{
	printf("%*s%s", missing(text, columns), "", text);
}

void page_left(const char *text, int columns)
{
	printf("%s%*s", text, missing(text, columns), "");
}

char *page_grouped(uint64_t v, char *dst, size_t cap)
{
	char digits[24];
	size_t n = (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v), used = 0;
	for (size_t i = 0; i < n && used + 2 < cap; i++) {
		if (i && (n - i) % 3 == 0)
			dst[used++] = ',';
		dst[used++] = digits[i];
	}
	dst[used] = 0;
	return dst;
}

void facts_begin(struct facts *f, const struct page *p, const char *label)
{
	*f = (struct facts){ .p = p };
	printf("  %s", page_ink(p, INK_DIM));
	page_left(label, LABEL);
	printf("%s", page_plain(p));
}

void fact(struct facts *f, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	int n = term_columns(text);
	if (!n)
		return;
	if (f->column && f->column + 3 + n + LABEL + 2 > f->p->width) {
		printf("\n%*s", LABEL + 2, "");
		f->column = 0;
	}
	printf("%s%s", f->column ? " · " : "", text);
	f->column += n + 3;
}

void facts_end(void)
{
	putchar('\n');
}
