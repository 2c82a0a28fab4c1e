/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers with units as people type them, and the nearest word to a mistyped one. */
#ifndef BIFOCAL_COMMON_UNITS_H
#define BIFOCAL_COMMON_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* "4k" "4K" "4KiB" = 4096, "1m" "1g" "1t" likewise (fio's kb_base=1024); "4kB" too, as fio has it. Plain numbers are bytes. */
int parse_size(const char *text, uint64_t *bytes, struct error *err);
/* "500ns" "10us" "100ms" "2s" "1m" "1h"; a plain number is seconds, as fio has it. */
int parse_duration(const char *text, uint64_t *ns, struct error *err);
/* Decimal, whole string, within [min, max]. */
int parse_uint(const char *text, uint64_t min, uint64_t max, uint64_t *v, struct error *err);
/* 0 1 no yes off on false true */
int parse_bool(const char *text, bool *v, struct error *err);

/* "4k", "1536", "256m": the shortest that parse_size reads back. */
char *format_size(uint64_t bytes, char *dst, size_t cap);
/* "2s", "100ms", "1500us": the shortest that parse_duration reads back. */
char *format_duration(uint64_t ns, char *dst, size_t cap);
/* For people: "813 ns", "12.4 µs", "3.07 ms", "2.50 s": three digits. */
char *format_ns(double ns, char *dst, size_t cap);

/* The candidate nearest to `word` by Damerau–Levenshtein distance, at most a third of its length
 * away (at least 1; 2 from four letters on); NULL when none is near. `words` ends with NULL. */
const char *nearest_word(const char *word, const char *const words[]);

#endif
