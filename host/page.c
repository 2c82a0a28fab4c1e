/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/page.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/units.h"

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

char *page_count(uint64_t v, char *dst, size_t cap)
{
	if (v < 10000000)
		return page_grouped(v, dst, cap);
	snprintf(dst, cap, v < 10000000000 ? "%.1f M" : "%.3g M", (double)v / 1e6);
	return dst;
}

void facts_begin(struct facts *f, const struct page *p, const char *label)
{
	int label_columns = term_columns(label);
	*f = (struct facts){ .p = p, .indent = 2 + (label_columns > LABEL ? label_columns : LABEL) };
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
	if (f->column && f->column + 3 + n + f->indent > f->p->width) {
		printf("\n%*s", f->indent, "");
		f->column = 0;
	}
	printf("%s%s", f->column ? " · " : "", text);
	f->column += n + 3;
}

void facts_end(void)
{
	putchar('\n');
}

/* How many bytes of `text` the next line takes: whole words as long as there is one that fits. */
static size_t line_length(const char *text, int columns)
{
	size_t end = 0, i = 0;
	int n = 0;
	for (; text[i]; i++) {
		if (text[i] == ' ')
			end = i;
		if (((unsigned char)text[i] & 0xc0) != 0x80 && ++n > columns)
			return end ? end : i;
	}
	return i;
}

void page_text(const struct page *p, const char *label, const char *text)
{
	struct facts f;
	facts_begin(&f, p, label);
	int columns = p->width - f.indent > 20 ? p->width - f.indent : 20;
	while (*text) {
		size_t len = line_length(text, columns);
		for (size_t i = 0; i < len; i++)
			putchar((unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i]);
		text += len + strspn(text + len, " ");
		if (*text)
			printf("\n%*s", f.indent, "");
	}
	facts_end();
}

void page_bound(const struct page *p, double ns, int columns)
{
	char number[32], text[48] = "";
	if (ns > 0)
		snprintf(text, sizeof(text), isfinite(ns) ? "± %s" : "unknown", format_ns(ns, number, sizeof(number)));
	printf("%s", page_ink(p, INK_DIM));
	page_right(text, columns);
	printf("%s", page_plain(p));
}

void page_span(unsigned from, unsigned to, int columns, char rest[PHASE_SPAN_MAX])
{
	char name[PHASE_SPAN_MAX];
	rest[0] = 0;
	phase_span_name(from, to, name);
	char *dots = strstr(name, "..");
	if (dots && (int)strlen(name) + 1 >= columns) {
		snprintf(rest, PHASE_SPAN_MAX, "%s", dots);
		*dots = 0;
	}
	if (dots && strlen(name) + 2 < PHASE_SPAN_MAX)
		strcat(name, "*");
	page_left(name, columns);
}
