/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/units.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* The first name of a factor is the one that format_* print; units ascend. */
static const struct unit size_units[] = {
	{ "", 1 }, { "b", 1 },
	{ "k", 1ull << 10 }, { "kb", 1ull << 10 }, { "kib", 1ull << 10 },
	{ "m", 1ull << 20 }, { "mb", 1ull << 20 }, { "mib", 1ull << 20 },
	{ "g", 1ull << 30 }, { "gb", 1ull << 30 }, { "gib", 1ull << 30 },
	{ "t", 1ull << 40 }, { "tb", 1ull << 40 }, { "tib", 1ull << 40 },
};

static const struct unit duration_units[] = {
	{ "ns", 1 }, { "nsec", 1 },
	{ "us", 1000 }, { "usec", 1000 }, { "µs", 1000 },
	{ "ms", 1000000 }, { "msec", 1000000 },
	{ "s", 1000000000 }, { "sec", 1000000000 }, { "", 1000000000 },
	{ "m", 60000000000 }, { "min", 60000000000 },
	{ "h", 3600000000000 },
};

enum { SIZE_UNITS = sizeof(size_units) / sizeof(size_units[0]),
       DURATION_UNITS = sizeof(duration_units) / sizeof(duration_units[0]),
       UNITS_MAX = 16 };

/* Digits at *text as a number; false when there are none or they overflow. */
static bool digits(const char **text, uint64_t *v)
{
	const char *p = *text;
	uint64_t sum = 0;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, (uint64_t)(*p - '0'), &sum))
			return false;
	if (p == *text)
		return false;
	*text = p;
	*v = sum;
	return true;
}

static int unknown_unit(const char *text, const char *unit, const struct unit *u, size_t n, struct error *err)
{
	const char *names[UNITS_MAX + 1] = { 0 };
	size_t named = 0;
	char list[128] = "";
	for (size_t i = 0; i < n; i++) {
		if (!*u[i].name)
			continue;
		names[named++] = u[i].name;
		if (i == 0 || u[i].factor != u[i - 1].factor)
			snprintf(list + strlen(list), sizeof(list) - strlen(list), " %s", u[i].name);
	}
	const char *near = nearest_word(unit, names);
	if (near)
		return error_set(err, ERR_USAGE, "\"%.40s\": unknown unit \"%.20s\"; did you mean \"%s\"?", text, unit, near);
	return error_set(err, ERR_USAGE, "\"%.40s\": unknown unit \"%.20s\"; known are%s", text, unit, list);
}

static int parse_scaled(const char *text, const struct unit *u, size_t n, const char *example, uint64_t *v, struct error *err)
{
	const char *p = text;
	uint64_t number, scaled;
	if (!digits(&p, &number)) {
		if (*p >= '0' && *p <= '9')
			return error_set(err, ERR_USAGE, "\"%.40s\" is too large a number", text);
		return error_set(err, ERR_USAGE, "\"%.40s\" is not a number with a unit; write it like %s", text, example);
	}
	for (size_t i = 0; i < n; i++) {
		if (strcasecmp(p, u[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(number, u[i].factor, &scaled))
			return error_set(err, ERR_USAGE, "\"%.40s\" is too large a number", text);
		*v = scaled;
		return 0;
	}
	return unknown_unit(text, p, u, n, err);
}

int parse_size(const char *text, uint64_t *bytes, struct error *err)
{
	return parse_scaled(text, size_units, SIZE_UNITS, "4k or 1g", bytes, err);
}

int parse_duration(const char *text, uint64_t *ns, struct error *err)
{
	return parse_scaled(text, duration_units, DURATION_UNITS, "100ms or 2s", ns, err);
}

int parse_uint(const char *text, uint64_t min, uint64_t max, uint64_t *v, struct error *err)
{
	const char *p = text;
	uint64_t number;
	bool overflow = false;
	if (!digits(&p, &number)) {
		overflow = *p >= '0' && *p <= '9';
		if (!overflow)
			return error_set(err, ERR_USAGE, "\"%.40s\" is not a whole number", text);
	}
	if (!overflow && *p)
		return error_set(err, ERR_USAGE, "\"%.40s\" is not a whole number", text);
	if (overflow || number < min || number > max)
		return error_set(err, ERR_USAGE, "%.40s is out of range; %llu to %llu is allowed", text,
				 (unsigned long long)min, (unsigned long long)max);
	*v = number;
	return 0;
}

int parse_bool(const char *text, bool *v, struct error *err)
{
	static const char *const words[] = { "0", "1", "no", "yes", "off", "on", "false", "true", NULL };
	for (int i = 0; words[i]; i++) {
		if (strcasecmp(text, words[i]) == 0) {
			*v = i & 1;
			return 0;
		}
	}
	const char *near = nearest_word(text, words);
	if (near)
		return error_set(err, ERR_USAGE, "\"%.40s\" is neither yes nor no; did you mean \"%s\"?", text, near);
	return error_set(err, ERR_USAGE, "\"%.40s\" is neither yes nor no; write 1 or 0", text);
}

static char *format_scaled(uint64_t v, const struct unit *u, size_t n, char *dst, size_t cap)
{
	const struct unit *best = &u[0];
	for (size_t i = 1; i < n && v; i++)
		if (u[i].factor > best->factor && v % u[i].factor == 0)
			best = &u[i];
	snprintf(dst, cap, "%llu%s", (unsigned long long)(v / best->factor), v ? best->name : "");
	return dst;
}

char *format_size(uint64_t bytes, char *dst, size_t cap)
{
	return format_scaled(bytes, size_units, SIZE_UNITS, dst, cap);
}

char *format_duration(uint64_t ns, char *dst, size_t cap)
{
	return format_scaled(ns, duration_units, DURATION_UNITS, dst, cap);
}

char *format_ns(double ns, char *dst, size_t cap)
{
	static const char *const names[] = { "ns", "µs", "ms", "s" };
	int unit = 0;
	/* 999.5 would round to four digits: it belongs to the next unit. */
	while (unit < 3 && fabs(ns) >= 999.5) {
		ns /= 1000;
		unit++;
	}
	double size = fabs(ns);
	int places = size >= 99.95 || size == 0 ? 0 : size >= 9.995 ? 1 : 2;
	snprintf(dst, cap, "%.*f %s", places, ns, names[unit]);
	return dst;
}

enum { WORD_MAX = 64 };

static size_t least3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;
	return m < c ? m : c;
}

/* Damerau–Levenshtein distance in its optimal string alignment form: insertions, deletions,
 * replacements and swaps of neighbours; case does not count. Both are at most WORD_MAX long. */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *now = rows[2];
	for (size_t j = 0; j <= nb; j++)
		last[j] = j;
	for (size_t i = 1; i <= na; i++) {
		now[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);
			now[j] = least3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (ca != cb));
			bool swapped = i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
				       cb == tolower((unsigned char)a[i - 2]);
			if (swapped && before[j - 2] + 1 < now[j])
				now[j] = before[j - 2] + 1;
		}
		size_t *spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[nb];
}

const char *nearest_word(const char *word, const char *const words[])
{
	size_t n = strnlen(word, WORD_MAX + 1);
	if (n > WORD_MAX)
		return NULL;
	size_t limit = n < 4 ? 1 : n / 3 > 2 ? n / 3 : 2;
	const char *best = NULL;
	for (int i = 0; words[i]; i++) {
		size_t len = strlen(words[i]);
		if (len > WORD_MAX)
			continue;
		size_t d = distance(word, n, words[i], len);
		/* A word of one letter is not near another one. */
		if (d <= limit && d < (n > len ? n : len)) {
			best = words[i];
			limit = d ? d - 1 : 0;
			if (!d)
				break;
		}
	}
	return best;
}
