/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers as charts and tables print them. Every function writes at most `cap` bytes and returns dst. */
#ifndef BIFOCAL_MINE_CHART_TEXT_H
#define BIFOCAL_MINE_CHART_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* A tick's nanoseconds: "100 µs", "2 ms", "0.5 ns". */
char *text_tick_ns(double ns, char *dst, size_t cap);
/* A tick's seconds: "0", "0.5", "-0.2". */
char *text_tick_number(double v, char *dst, size_t cap);
/* q as a percentile: 0.999 → "99.9", 0.5 → "50". */
char *text_percentile(double q, char *dst, size_t cap);
/* 1234567 → "1 234 567" with narrow no-break spaces (ISO 80000-1). */
char *text_count(double v, char *dst, size_t cap);

#endif
