/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw TSC stamps, typed by whose clock they are, so that the compiler catches a mix-up.
 *
 * Cycles are compared and subtracted modulo 2^64. The offset between the clocks of
 * one node is guest − host in cycles, as a signed 64-bit number modulo 2^64.
 */
#ifndef BIFOCAL_COMMON_TSC_H
#define BIFOCAL_COMMON_TSC_H

#include <stdint.h>
#include <time.h>
#include <x86intrin.h>

struct host_tsc { uint64_t cycles; };
struct guest_tsc { uint64_t cycles; };

/* Waits for earlier loads, so that what was measured is over when the stamp is taken;
 * later instructions wait for it. */
static inline uint64_t tsc_read(void)
{
	_mm_lfence();
	uint64_t t = __rdtsc();
	_mm_lfence();
	return t;
}

static inline struct host_tsc host_tsc_now(void) { return (struct host_tsc){ tsc_read() }; }
static inline struct guest_tsc guest_tsc_now(void) { return (struct guest_tsc){ tsc_read() }; }

/* A bracketed pair: the clock was `ns` at some instant in [before, after]. */
struct tsc_anchor {
	uint64_t before, after;
	uint64_t ns;
};

/* The tightest of `tries` bracketed reads of a clock. */
struct tsc_anchor tsc_anchor_take(clockid_t clock, int tries);
/* TSC frequency in Hz from two anchors of CLOCK_MONOTONIC_RAW, and in *error_hz (may be NULL) the half-width
 * that the brackets' widths leave; 0 when less than 1 ms lies between them. */
uint64_t tsc_hz_between(const struct tsc_anchor *a, const struct tsc_anchor *b, double *error_hz);

/* cycles → nanoseconds, exact to rounding. hz > 0. */
double tsc_to_ns(uint64_t cycles, uint64_t hz);

#endif
