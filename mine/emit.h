/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text out: HTML and JSON with what must be escaped escaped, and whole files or none. */
#ifndef BIFOCAL_MINE_EMIT_H
#define BIFOCAL_MINE_EMIT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/error.h"
#include "mine/stats.h"

void html_text(FILE *f, const char *text);
void html_base64(FILE *f, const uint8_t *p, size_t n);

/* A quoted string. */
void json_text(FILE *f, const char *text);
/* null where v is not finite. */
void json_number(FILE *f, double v);
/* {"value": v, "lo": l, "hi": h}; lo and hi null where they are not supported. */
void json_estimate(FILE *f, struct estimate e);

/* In place: control characters and broken UTF-8 become '?', line breaks blanks. */
char *text_clean(char *text);
/* A value with its interval's limits in one unit: "75.3 µs", "74.9–75.8". `limits` may be NULL. */
void text_estimate_ns(struct estimate e, char *value, size_t value_cap, char *limits, size_t limits_cap);
/* What stands behind ±: two significant digits, rounded up, for a bound rounded down is none: "27 µs", "0.48 ns". */
void text_bound_ns(double ns, char *dst, size_t cap);
/* "113 ± 27 µs", "−1.75 ms ± 27 µs"; `bound` as text_bound_ns wrote it, or other words. */
void text_bounded_ns(double ns, const char *bound, char *dst, size_t cap);
/* The same for a rate or a plain ratio, three significant digits. */
void text_estimate_number(struct estimate e, char *value, size_t value_cap, char *limits, size_t limits_cap);

/* Makes the folder, with its parents, where it is missing, and proves that it takes files. Returns a descriptor or -1 with err. */
int output_open(const char *path, struct error *err);
/* The file appears whole, or not at all. */
int output_write(int dir, const char *name, const void *bytes, size_t len, struct error *err);

#endif
