/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/trace/qemu_log.h"

#include <string.h>

enum { NS_PER_S = 1000000000, NS_PER_US = 1000 };

static const uint64_t seconds_limit = UINT64_C(1) << 33;   /* the year 2242; in nanoseconds it stays below 2^63 */

static unsigned hash(const char *name, size_t n)
{
	/* Lengths and the ends tell our names apart almost always. */
	return ((unsigned)n * 37u + (unsigned char)name[0] * 5u + (unsigned char)name[n - 1] * 11u + (unsigned char)name[n / 2]) % QEMU_LOG_BUCKETS;
}

void qemu_log_init(struct qemu_log *l, struct qemu_events_state *st)
{
	*l = (struct qemu_log){ .state = st };
	/* From behind, so that the forms of one name keep the table's order. */
	for (size_t i = qemu_events_count; i-- > 0;) {
		size_t n = strlen(qemu_events[i].name);
		unsigned h = hash(qemu_events[i].name, n);

		l->length[i] = (uint8_t)n;
		l->next[i] = l->bucket[h];
		l->bucket[h] = (uint16_t)(i + 1);
	}
}

/* ---- a cursor over a line ---- */

struct text { const char *p, *end; };

static bool take_char(struct text *t, char c)
{
	if (t->p == t->end || *t->p != c)
		return false;
	t->p++;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* At least one digit; more than 64 bits is refused. */
static bool take_decimal(struct text *t, uint64_t *v)
{
	const char *from = t->p;

	for (*v = 0; t->p < t->end && is_digit(*t->p); t->p++) {
		unsigned digit = (unsigned)(*t->p - '0');

		if (*v > (UINT64_MAX - digit) / 10)
			return false;
		*v = *v * 10 + digit;
	}
	return t->p > from;
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool take_hex(struct text *t, uint64_t *v)
{
	const char *from = t->p;

	for (*v = 0; t->p < t->end && hex_digit(*t->p) >= 0; t->p++) {
		if (*v >> 60)
			return false;
		*v = *v << 4 | (uint64_t)hex_digit(*t->p);
	}
	return t->p > from;
}

static bool take_word(struct text *t, const char *word, size_t n)
{
	if ((size_t)(t->end - t->p) < n || memcmp(t->p, word, n))
		return false;
	t->p += n;
	return true;
}

/* glibc's %p: 0x…, or (nil). */
static bool take_pointer(struct text *t, uint64_t *v)
{
	*v = 0;
	if (take_word(t, "(nil)", 5))
		return true;
	return take_word(t, "0x", 2) && take_hex(t, v);
}

static bool take_signed(struct text *t, uint64_t *v)
{
	bool minus = take_char(t, '-');

	if (!take_decimal(t, v))
		return false;
	if (minus)
		*v = 0 - *v;
	return true;
}

/* Up to the byte that follows in the format, or to the end. */
static bool take_text(struct text *t, char stop, struct qemu_arg *a)
{
	const char *end = stop ? memchr(t->p, stop, (size_t)(t->end - t->p)) : t->end;

	if (!end)
		return false;
	a->text = t->p;
	a->length = (size_t)(end - t->p);
	t->p = end;
	return true;
}

/* ---- arguments by the row's format ---- */

static bool take_argument(struct text *t, const char *format, struct qemu_arg *a)
{
	*a = (struct qemu_arg){ 0 };
	switch (format[1]) {
	case 'p': return take_pointer(t, &a->number);
	case 'x': return take_hex(t, &a->number);
	case 's': return take_text(t, format[2], a);
	default: return take_signed(t, &a->number);
	}
}

static bool take_arguments(struct text *t, const char *format, struct qemu_arg args[QEMU_ARGS_MAX])
{
	size_t n = 0;

	for (; *format; format++) {
		if (*format != '%') {
			if (!take_char(t, *format))
				return false;
			continue;
		}
		if (n == QEMU_ARGS_MAX || !take_argument(t, format, &args[n++]))
			return false;
		format++;
	}
	/* A release may have added an argument at the end. */
	return t->p == t->end || *t->p == ' ' || *t->p == ',';
}

/* ---- the line's front ---- */

static bool make_time(uint64_t seconds, uint64_t micros, uint64_t *time)
{
	if (seconds >= seconds_limit || micros >= 1000000)
		return false;
	*time = seconds * NS_PER_S + micros * NS_PER_US;
	return true;
}

/* TID@SECONDS.MICROSECONDS: */
static bool take_old_front(struct text *t, uint32_t *thread, uint64_t *time)
{
	uint64_t tid, seconds, micros;

	if (!take_decimal(t, &tid) || tid > UINT32_MAX || !take_char(t, '@') || !take_decimal(t, &seconds) || !take_char(t, '.'))
		return false;
	const char *fraction = t->p;
	if (!take_decimal(t, &micros) || t->p - fraction != 6 || !take_char(t, ':'))
		return false;
	*thread = (uint32_t)tid;
	return make_time(seconds, micros, time);
}

static bool take_digits(struct text *t, size_t n, uint64_t *v)
{
	const char *from = t->p;
	struct text part = { t->p, (size_t)(t->end - t->p) < n ? t->end : t->p + n };

	if (!take_decimal(&part, v))
		return false;
	t->p = part.p;
	return (size_t)(t->p - from) == n;
}

/* Days since 1970-01-01 in the Gregorian calendar; March is the year's first month, so that the leap day is its last. */
static uint64_t days_of(uint64_t year, uint64_t month, uint64_t day)
{
	uint64_t y = month <= 2 ? year - 1 : year, m = (month + 9) % 12;

	return y * 365 + y / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 + day - 1 - 719468;
}

static bool take_fraction(struct text *t, uint64_t *micros)
{
	unsigned digits = 0;

	*micros = 0;
	if (!take_char(t, '.'))
		return true;
	for (; t->p < t->end && is_digit(*t->p); t->p++, digits++)
		if (digits < 6)
			*micros = *micros * 10 + (uint64_t)(*t->p - '0');
	for (unsigned i = digits; i < 6; i++)
		*micros *= 10;
	return digits > 0;
}

/* 2026-11-23T18:30:36.123456Z and a blank. */
static bool take_new_front(struct text *t, uint64_t *time)
{
	uint64_t year, month, day, hour, minute, second, micros;

	if (!take_digits(t, 4, &year) || !take_char(t, '-') || !take_digits(t, 2, &month) || !take_char(t, '-') || !take_digits(t, 2, &day) ||
	    !take_char(t, 'T') || !take_digits(t, 2, &hour) || !take_char(t, ':') || !take_digits(t, 2, &minute) || !take_char(t, ':') ||
	    !take_digits(t, 2, &second) || !take_fraction(t, &micros) || !take_word(t, "Z ", 2))
		return false;
	if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60)
		return false;
	return make_time(days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second, micros, time);
}

static bool take_front(struct text *t, uint32_t *thread, uint64_t *time)
{
	struct text whole = *t;

	*thread = 0;
	if (take_old_front(t, thread, time))
		return true;
	*t = whole;
	*thread = 0;
	return take_new_front(t, time);
}

/* ---- the line ---- */

static bool is_name_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* The name and the blank behind it. */
static bool take_name(struct text *t, struct span *name)
{
	const char *from = t->p;

	while (t->p < t->end && is_name_char(*t->p))
		t->p++;
	*name = (struct span){ (const uint8_t *)from, (size_t)(t->p - from) };
	return name->len && take_char(t, ' ');
}

bool qemu_log_line(struct qemu_log *l, const char *line, size_t n, struct sighting *out)
{
	struct text t = { line, line + n };
	struct qemu_arg args[QEMU_ARGS_MAX];
	uint32_t thread;
	uint64_t time;
	struct span name;
	bool ours = false;

	l->lines++;
	if (!take_front(&t, &thread, &time) || !take_name(&t, &name)) {
		l->other++;
		return false;
	}
	for (unsigned i = l->bucket[hash((const char *)name.p, name.len)]; i; i = l->next[i - 1]) {
		const struct qemu_event *e = &qemu_events[i - 1];
		struct text rest = t;

		if (l->length[i - 1] != name.len || memcmp(e->name, name.p, name.len))
			continue;
		ours = true;
		if (!take_arguments(&rest, e->format, args))
			continue;
		if (!qemu_event_sighting(l->state, e, args, time, thread, out)) {
			l->filtered++;
			return false;
		}
		l->sightings++;
		return true;
	}
	if (ours)
		l->malformed++;
	else
		l->foreign++;
	return false;
}

/* A line too long to keep: everything up to its end is skipped, over several calls if need be. */
static size_t skip_long(struct qemu_log *l, const char *text, size_t n)
{
	const char *end = memchr(text, '\n', n);

	l->skipping = !end;
	return end ? (size_t)(end - text) + 1 : n;
}

ptrdiff_t qemu_log_feed(struct qemu_log *l, const char *text, size_t n, qemu_log_fn *fn, void *ctx)
{
	size_t done = l->skipping ? skip_long(l, text, n) : 0;

	while (done < n) {
		const char *end = memchr(text + done, '\n', n - done);
		size_t length = end ? (size_t)(end - (text + done)) : n - done;
		struct sighting s;

		if (length > QEMU_LOG_LINE_MAX) {
			l->lines++;
			l->malformed++;
			done += skip_long(l, text + done, n - done);
			continue;
		}
		if (!end)
			break;
		bool seen = qemu_log_line(l, text + done, length, &s);
		done += length + 1;
		if (seen && fn(ctx, done, &s))
			return -1;
	}
	return (ptrdiff_t)done;
}
