/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random numbers of the workload: xoshiro256** of Blackman and Vigna (2018), seeded through
 * splitmix64, so that a run's seed and a job's index fix every offset it draws.
 */
#ifndef BIFOCAL_GUEST_RNG_H
#define BIFOCAL_GUEST_RNG_H

#include <stdint.h>

struct rng {
	uint64_t s[4];
};

static inline uint64_t rng_mix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline void rng_seed(struct rng *r, uint64_t seed, uint64_t stream)
{
	uint64_t state = seed, salt = stream;

	state ^= rng_mix(&salt);
	for (int i = 0; i < 4; i++)
		r->s[i] = rng_mix(&state);
}

static inline uint64_t rng_rotate(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

static inline uint64_t rng_next(struct rng *r)
{
	uint64_t *s = r->s, result = rng_rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rng_rotate(s[3], 45);
	return result;
}

/* Uniform in [0, n) but for a bias below n / 2^64: the high half of a 128-bit product, no division. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
	return (uint64_t)((unsigned __int128)rng_next(r) * n >> 64);
}

/* Uniform in (0, 1]. */
static inline double rng_unit(struct rng *r)
{
	return (double)((rng_next(r) >> 11) + 1) * 0x1p-53;
}

#endif
