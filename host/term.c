/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/term.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH_MIN = 40, WIDTH_DEFAULT = 80, WIDTH_MAX = 400 };

int term_width(int fd)
{
	struct winsize ws;
	const char *columns = getenv("COLUMNS");
	long n = 0;
	if (isatty(fd) && !ioctl(fd, TIOCGWINSZ, &ws))
		n = ws.ws_col;
	if (n <= 0 && columns)
		n = strtol(columns, NULL, 10);
	if (n <= 0)
		n = WIDTH_DEFAULT;
	return n < WIDTH_MIN ? WIDTH_MIN : n > WIDTH_MAX ? WIDTH_MAX : (int)n;
}

bool term_colour(int fd)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	return isatty(fd) && !(no && *no) && !(term && !strcmp(term, "dumb"));
}

static const char *const eighth[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█" };

char *term_bar(double part, int columns, char *dst, size_t cap)
{
	double clipped = part < 0 ? 0 : part > 1 ? 1 : part;
	int eighths = (int)(clipped * columns * 8 + 0.5);
	size_t used = 0;
	dst[0] = 0;
	for (int i = 0; i < columns; i++, eighths -= 8) {
		const char *cell = eighths >= 8 ? "█" : eighths > 0 ? eighth[eighths] : " ";
		size_t len = strlen(cell);
		if (used + len >= cap)
			break;
		memcpy(dst + used, cell, len + 1);
		used += len;
	}
	return dst;
}

/* The part of a cell from `lo` to `hi`, as far as there are signs: they begin at the left, or fill the right half. */
static const char *span_cell(double lo, double hi)
{
	int eighths = (int)((hi - lo) * 8 + 0.5);
	if (hi >= 1 && lo > 0 && eighths < 7)
		return eighths > 2 ? "▐" : " ";
	return eighths > 0 ? eighth[eighths] : " ";
}

char *term_span(double from, double to, int columns, char *dst, size_t cap)
{
	size_t used = 0;
	from = from >= 0 ? from < 1 ? from : 1 : 0;
	to = to >= from ? to < 1 ? to : 1 : from;
	double lo = from * columns, hi = to * columns;
	int first = (int)lo < columns ? (int)lo : columns - 1;
	dst[0] = 0;
	for (int i = 0; i < columns && (i <= first || i < hi); i++) {
		const char *cell = i < first ? " " : span_cell(lo > i ? lo - i : 0, hi < i + 1 ? hi - i : 1);
		/* The last sliver of a longer bar is rounding, not a sign of its own. */
		if (i > first && *cell == ' ')
			break;
		if (i == first && *cell == ' ' && hi <= i + 1)
			cell = eighth[1];
		size_t len = strlen(cell);
		if (used + len >= cap)
			break;
		memcpy(dst + used, cell, len + 1);
		used += len;
	}
	return dst;
}

bool term_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };
	const char *v = NULL;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !(v && *v); i++)
		v = getenv(names[i]);
	return v && (strcasestr(v, "utf-8") || strcasestr(v, "utf8"));
}

/* ---- ASCII ---- */

/* A character may be cut by the end of stdio's buffer. */
struct ascii {
	char part[4];
	size_t have;
};

static const char *ascii_sign(const char *sign, size_t len)
{
	static const struct { const char *sign, *ascii; } table[] = {
		{ "µ", "u" }, { "±", "+-" }, { "·", "|" }, { "−", "-" }, { "–", "-" }, { "│", "|" }, { "─", "-" }, { "…", "..." }, { "█", "#" },
		{ "▉", "#" }, { "▊", "#" }, { "▋", ":" }, { "▌", ":" }, { "▐", ":" }, { "▍", "." }, { "▎", "." }, { "▏", "." }, { "×", "x" }, { "’", "'" },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strlen(table[i].sign) == len && !memcmp(table[i].sign, sign, len))
			return table[i].ascii;
	return "?";
}

static size_t sign_length(unsigned char first)
{
	return first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
}

static int write_all(const char *p, size_t n)
{
	while (n) {
		ssize_t got = write(STDOUT_FILENO, p, n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -1;
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

static ssize_t ascii_write(void *ctx, const char *text, size_t n)
{
	struct ascii *a = ctx;
	char out[4096];
	size_t used = 0;
	for (size_t i = 0; i < n; i++) {
		bool more = ((unsigned char)text[i] & 0xc0) == 0x80;
		if (!more)
			a->have = 0;
		if (a->have < sizeof(a->part))
			a->part[a->have++] = text[i];
		if (a->have < sign_length((unsigned char)a->part[0]))
			continue;
		const char *word = a->part[0] & 0x80 ? ascii_sign(a->part, a->have) : NULL;
		size_t len = word ? strlen(word) : 1;
		memcpy(out + used, word ? word : a->part, len);
		used += len;
		a->have = 0;
		if (used + 4 > sizeof(out)) {
			if (write_all(out, used))
				return 0;
			used = 0;
		}
	}
	return write_all(out, used) ? 0 : (ssize_t)n;
}

int term_ascii_stdout(void)
{
	/* Both live until the program ends, as stdout does. */
	static struct ascii state;
	static FILE *ascii;
	FILE *f = fopencookie(&state, "w", (cookie_io_functions_t){ .write = ascii_write });
	if (!f)
		return -1;
	fflush(stdout);
	stdout = ascii = f;
	(void)ascii;
	return 0;
}

int term_columns(const char *utf8)
{
	int n = 0;
	for (; *utf8; utf8++)
		n += ((unsigned char)*utf8 & 0xc0) != 0x80;
	return n;
}
