/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/emit.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "mine/chart/text.h"

void html_text(FILE *f, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '<': fputs("&lt;", f); break;
		case '>': fputs("&gt;", f); break;
		case '&': fputs("&amp;", f); break;
		case '"': fputs("&quot;", f); break;
		case '\'': fputs("&#39;", f); break;
		default: putc(*text, f);
		}
}

void html_base64(FILE *f, const uint8_t *p, size_t n)
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
		putc(digit[v >> 18], f);
		putc(digit[v >> 12 & 63], f);
		putc(i + 1 < n ? digit[v >> 6 & 63] : '=', f);
		putc(i + 2 < n ? digit[v & 63] : '=', f);
	}
}

void json_text(FILE *f, const char *text)
{
	putc('"', f);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else if (c < 0x20)
			fprintf(f, "\\u%04x", c);
		else
			putc(c, f);
	}
	putc('"', f);
}

void json_number(FILE *f, double v)
{
	if (isfinite(v))
		fprintf(f, "%.12g", v);
	else
		fputs("null", f);
}

void json_estimate(FILE *f, struct estimate e)
{
	fputs("{\"value\": ", f);
	json_number(f, e.value);
	fputs(", \"lo\": ", f);
	json_number(f, e.supported ? e.lo : NAN);
	fputs(", \"hi\": ", f);
	json_number(f, e.supported ? e.hi : NAN);
	putc('}', f);
}

/* Length of the well-formed UTF-8 sequence at p, 0 if there is none (RFC 3629, table of section 4). */
static size_t utf8_length(const unsigned char *p)
{
	if (p[0] < 0x80)
		return 1;
	size_t n = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
	bool outside = (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f);
	return n && (overlong || outside) ? 0 : n;
}

char *text_clean(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p;) {
		size_t n = utf8_length(p);
		bool control = n == 1 && (*p < 0x20 || *p == 0x7f);
		/* U+0080 to U+009F are control characters too. */
		control |= n == 2 && p[0] == 0xc2 && p[1] < 0xa0;
		if (n && !control) {
			p += n;
			continue;
		}
		*p = *p == '\n' || *p == '\t' ? ' ' : '?';
		p++;
	}
	return text;
}

/* Three significant digits, never in powers of ten; with more before the point, all of them. */
static void digits(double v, char *dst, size_t cap)
{
	double size = fabs(v);
	if (size >= 1000)
		text_count(v, dst, cap);
	else
		snprintf(dst, cap, "%.*f", size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2, v);
}

static void estimate_in(struct estimate e, double unit, const char *name, char *value, size_t value_cap, char *limits, size_t limits_cap)
{
	char a[48], b[48];
	digits(e.value / unit, a, sizeof(a));
	snprintf(value, value_cap, "%s%s", a, name);
	if (!limits)
		return;
	limits[0] = '\0';
	if (!e.supported)
		return;
	digits(e.lo / unit, a, sizeof(a));
	digits(e.hi / unit, b, sizeof(b));
	snprintf(limits, limits_cap, "%s–%s", a, b);
}

static const struct { double size; const char *name; } units[] = {
	{ 1e9, "\u00a0s" }, { 1e6, "\u00a0ms" }, { 1e3, "\u00a0µs" }, { 1, "\u00a0ns" },
};

void text_estimate_ns(struct estimate e, char *value, size_t value_cap, char *limits, size_t limits_cap)
{
	size_t i = 0;
	/* 999.6 µs would print as 1000 µs: go up where rounding does. */
	while (i < 3 && e.value < units[i].size * 0.9995)
		i++;
	estimate_in(e, units[i].size, units[i].name, value, value_cap, limits, limits_cap);
}

void text_bound_ns(double ns, char *dst, size_t cap)
{
	size_t i = 0;
	while (i < 3 && ns <= units[i].size * 0.999)
		i++;
	double v = ns / units[i].size;
	int decimals = v > 9.9 ? 0 : v > 0.99 ? 1 : 2;
	double step = decimals == 0 ? 1 : decimals == 1 ? 10 : 100;
	/* What is whole but for rounding is whole. */
	snprintf(dst, cap, "%.*f%s", decimals, ceil(v * step * (1 - 1e-9)) / step, units[i].name);
}

void text_bounded_ns(double ns, const char *bound, char *dst, size_t cap)
{
	char value[96];
	text_estimate_ns((struct estimate){ .value = fabs(ns) }, value, sizeof(value), NULL, 0);
	char *unit = strstr(value, "\u00a0");
	const char *other = strstr(bound, "\u00a0");
	if (unit && other && strcmp(unit, other) == 0)
		*unit = '\0';
	snprintf(dst, cap, "%s%s\u00a0±\u00a0%s", ns < 0 ? "−" : "", value, bound);
}

void text_estimate_number(struct estimate e, char *value, size_t value_cap, char *limits, size_t limits_cap)
{
	estimate_in(e, 1, "", value, value_cap, limits, limits_cap);
}

static int make_folders(const char *path)
{
	autofree char *copy = strdup(path);
	if (!copy)
		return -1;
	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0777) && errno != EEXIST)
			return -1;
		*slash = '/';
	}
	return mkdir(copy, 0777) && errno != EEXIST ? -1 : 0;
}

int output_open(const char *path, struct error *err)
{
	if (!*path)
		return error_set(err, ERR_USAGE, "-o: the output folder's name is empty");
	int dir = make_folders(path) ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_sys(err, errno, "output folder %s: cannot be made or opened; choose another with -o", path);
	if (faccessat(dir, ".", W_OK | X_OK, AT_EACCESS)) {
		error_sys(err, errno, "output folder %s: not writable; choose another with -o", path);
		close(dir);
		return -1;
	}
	return dir;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

int output_write(int dir, const char *name, const void *bytes, size_t len, struct error *err)
{
	char temporary[300];
	snprintf(temporary, sizeof(temporary), ".%s.%ld", name, (long)getpid());
	int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0)
		return error_sys(err, errno, "writing %s", name);
	int rc = write_all(fd, bytes, len);
	int why = errno;
	if (close(fd) && !rc) {
		rc = -1;
		why = errno;
	}
	if (!rc && renameat(dir, temporary, dir, name)) {
		rc = -1;
		why = errno;
	}
	if (rc) {
		unlinkat(dir, temporary, 0);
		return error_sys(err, why, "writing %s", name);
	}
	return 0;
}
