/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two ways to the same sum. Which one is used is settled once, before main().
 *
 * SSE 4.2 has an instruction for it, eight bytes every three cycles. QEMU's emulator has the
 * instruction too, but works it out bit by bit in a helper: 74 MB/s, where tables reach 286
 * (QEMU 7.2; native: 8600 and 1560). The port carries about as much as the former,
 * so under TCG, which says its name in CPUID, the tables are used.
 */
#include "common/crc32c.h"

#include <cpuid.h>
#include <stdbool.h>
#include <string.h>

enum { SLICES = 8 };

static const uint32_t POLYNOMIAL = 0x82f63b78;    /* 0x1EDC6F41, bits reversed */

/* table[k][b]: what byte b does to the sum when k more bytes follow it. */
static uint32_t table[SLICES][256];
static bool use_instruction, slow;

static void fill_table(void)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t crc = b;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
		table[0][b] = crc;
	}
	for (int k = 1; k < SLICES; k++)
		for (int b = 0; b < 256; b++)
			table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 0xff];
}

static bool emulated_by_tcg(void)
{
	unsigned a, b, c, d;
	const unsigned hypervisor_bit = 1u << 31;
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & hypervisor_bit))
		return false;
	__cpuid(0x40000000, a, b, c, d);
	unsigned name[3] = { b, c, d };
	return memcmp(name, "TCGTCGTCGTCG", sizeof(name)) == 0;
}

__attribute__((constructor)) static void choose(void)
{
	fill_table();
	__builtin_cpu_init();
	slow = emulated_by_tcg();
	use_instruction = __builtin_cpu_supports("sse4.2") && !slow;
}

bool crc32c_is_slow(void)
{
	return slow;
}

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

uint32_t crc32c_table(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;
	crc = ~crc;
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t v = load64(p) ^ crc;
		crc = table[7][v & 0xff] ^ table[6][v >> 8 & 0xff] ^ table[5][v >> 16 & 0xff] ^
		      table[4][v >> 24 & 0xff] ^ table[3][v >> 32 & 0xff] ^ table[2][v >> 40 & 0xff] ^
		      table[1][v >> 48 & 0xff] ^ table[0][v >> 56];
	}
	for (; len; p++, len--)
		crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
	return ~crc;
}

__attribute__((target("sse4.2")))
static uint32_t crc32c_instruction(uint32_t crc, const uint8_t *p, size_t len)
{
	uint64_t sum = ~crc;
	for (; len >= 8; p += 8, len -= 8)
		sum = __builtin_ia32_crc32di(sum, load64(p));
	uint32_t rest = (uint32_t)sum;
	for (; len; p++, len--)
		rest = __builtin_ia32_crc32qi(rest, *p);
	return ~rest;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
	return use_instruction ? crc32c_instruction(crc, data, len) : crc32c_table(crc, data, len);
}
