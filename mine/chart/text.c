/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/chart/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

char *text_tick_ns(double ns, char *dst, size_t cap)
{
	static const struct { double size; const char *unit; } units[] = {
		{ 1e9, "s" }, { 1e6, "ms" }, { 1e3, "µs" }, { 0, "ns" },
	};
	size_t i = 0;
	while (ns < units[i].size * (1 - 1e-9))
		i++;
	snprintf(dst, cap, "%.4g\u00a0%s", units[i].size > 0 ? ns / units[i].size : ns, units[i].unit);
	return dst;
}

char *text_tick_number(double v, char *dst, size_t cap)
{
	/* A true minus sign has a digit's width. */
	snprintf(dst, cap, "%s%.6g", v < 0 ? "−" : "", fabs(v));
	return dst;
}

char *text_percentile(double q, char *dst, size_t cap)
{
	/* 1 − q to its first digit tells how many nines there are to print. */
	int digits = q >= 1 || q <= 0 ? 0 : (int)fmax(0, ceil(-log10(1 - q) - 2 - 1e-6));
	snprintf(dst, cap, "%.*f", digits > 12 ? 12 : digits, q * 100);
	return dst;
}

char *text_count(double v, char *dst, size_t cap)
{
	char digits[40];
	int n = snprintf(digits, sizeof(digits), "%.0f", v);
	if (n >= (int)sizeof(digits) || n < 0 || cap < (size_t)n * 2 + 4) {
		snprintf(dst, cap, "%.3g", v);
		return dst;
	}
	size_t out = 0;
	for (int i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0 && digits[i - 1] != '-') {
			memcpy(dst + out, "\u202f", 3);
			out += 3;
		}
		dst[out++] = digits[i];
	}
	dst[out] = '\0';
	return dst;
}
