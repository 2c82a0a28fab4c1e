/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lua patterns (manual 5.4, section 6.4.1), matched under a step budget.
 *
 * A pattern is compiled once into a list of items: single characters with a repetition, %b, %f, %1 … %9,
 * and the openings and closings of captures. There is no alternation and no repeated group, so every match passes all items in
 * order; captures need no undoing when the matcher goes back. It goes back by recursion,
 * one level for each repeated item on the way, at most PATTERN_DEPTH.
 *
 * Character classes are ASCII's, whatever the locale. A malformed pattern is an error even where Lua's own matcher would
 * fail to match before it saw the fault.
 */
#ifndef BIFOCAL_LUA_PATTERN_H
#define BIFOCAL_LUA_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PATTERN_CAPTURES = 32,
	PATTERN_DEPTH = 200,
	PATTERN_LENGTH_MAX = 4096,    /* compiled, 40 bytes a character */
};

struct pattern;

struct pattern_capture {
	const char *at;
	ptrdiff_t len;                /* PATTERN_POSITION: a position capture */
};
enum { PATTERN_POSITION = -1 };

struct pattern_match {
	const char *start, *end;
	unsigned n;
	struct pattern_capture capture[PATTERN_CAPTURES];
};

enum pattern_result { PATTERN_NO, PATTERN_YES, PATTERN_SPENT, PATTERN_COMPLEX };

/* Bytes of memory that a pattern of `len` characters needs, aligned as malloc's. */
size_t pattern_size(size_t len);
/* `p` is memory of pattern_size(len). An anchor at the start counts as one only if `anchors`. NULL, or what is wrong with it. */
const char *pattern_compile(struct pattern *p, const char *text, size_t len, bool anchors);
bool pattern_anchored(const struct pattern *p);
/* Matches right at `at`, which lies within [s, s+len]. Takes its steps off *steps, which never goes below 0: PATTERN_SPENT then. */
enum pattern_result pattern_match(const struct pattern *p, const char *s, size_t len, const char *at, uint64_t *steps,
				  struct pattern_match *m);
/* The first match at or after `at`; only there if the pattern is anchored. */
enum pattern_result pattern_search(const struct pattern *p, const char *s, size_t len, const char *at, uint64_t *steps,
				   struct pattern_match *m);
/* False: the text contains nothing that is special in a pattern. */
bool pattern_special(const char *text, size_t len);

#endif
