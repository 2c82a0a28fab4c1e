// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/crc32c.h"
#include "guest/rng.h"

enum {
	VERIFY_MAGIC = 0x59564642,    /* "BFVY" in memory order */
	CRC_AT = 4, CRC_FROM = 8,
	/* One read takes many neighbours: fewer round trips, memory that does not matter. */
	READ_BACK_BYTES = 1 << 20,
};

int verify_init(struct verify *v, uint64_t run, uint64_t seed, uint64_t size, uint32_t bs, struct error *err)
{
	uint64_t state = seed;

	memset(v, 0, sizeof(*v));
	v->run = rng_mix(&state) ^ run;
	v->blocks = size / bs;
	v->bs = bs;
	v->first_bad = UINT64_MAX;
	uint64_t words = (v->blocks + 63) / 64;
	if (words * 8 > VERIFY_BITMAP_MAX)
		return error_set(err, ERR_LIMIT, "verify=crc32c: %llu blocks are too many to remember which were written; give a smaller size or a larger bs",
				 (unsigned long long)v->blocks);
	/* Touched now: a page fault in the window would be ours, not the disk's. */
	v->written = malloc(words * 8);
	if (!v->written)
		return error_set(err, ERR_LIMIT, "verify=crc32c: no memory for %llu bytes of bitmap; give a smaller size", (unsigned long long)words * 8);
	memset(v->written, 0, words * 8);
	return 0;
}

void verify_fini(struct verify *v)
{
	free(v->written);
	memset(v, 0, sizeof(*v));
}

void verify_seal(const struct verify *v, void *block, uint64_t sector, uint64_t sequence)
{
	uint8_t *p = block;
	struct wbuf w;

	wbuf_fixed(&w, p + CRC_FROM, VERIFY_HEADER - CRC_FROM);
	put_u64(&w, v->run);
	put_u64(&w, sector);
	put_u64(&w, sequence);
	wbuf_fixed(&w, p, CRC_FROM);
	put_u32(&w, VERIFY_MAGIC);
	put_u32(&w, crc32c(0, p + CRC_FROM, v->bs - CRC_FROM));
}

bool verify_holds(const struct verify *v, const void *block, uint64_t sector)
{
	const uint8_t *p = block;
	struct rbuf r;

	rbuf_init(&r, p, VERIFY_HEADER);
	bool ok = get_u32(&r) == VERIFY_MAGIC;
	uint32_t crc = get_u32(&r);
	ok &= get_u64(&r) == v->run;
	ok &= get_u64(&r) == sector;
	return ok && crc == crc32c(0, p + CRC_FROM, v->bs - CRC_FROM);
}

void verify_mark(struct verify *v, uint64_t offset)
{
	uint64_t block = offset / v->bs;

	atomic_fetch_or_explicit(&v->written[block / 64], 1ULL << block % 64, memory_order_relaxed);
}

void verify_forget(struct verify *v, uint64_t offset)
{
	uint64_t block = offset / v->bs;

	atomic_fetch_and_explicit(&v->written[block / 64], ~(1ULL << block % 64), memory_order_relaxed);
}

static bool is_marked(const struct verify *v, uint64_t block)
{
	return block < v->blocks && atomic_load_explicit(&v->written[block / 64], memory_order_relaxed) >> block % 64 & 1;
}

static uint64_t next_marked(const struct verify *v, uint64_t block)
{
	while (block < v->blocks && !is_marked(v, block))
		block += block % 64 == 0 && !atomic_load_explicit(&v->written[block / 64], memory_order_relaxed) ? 64 : 1;
	return block;
}

static void count_bad(struct verify *v, uint64_t block)
{
	v->bad++;
	if (v->first_bad == UINT64_MAX)
		v->first_bad = block * v->bs;
}

/* A block that cannot be read does not hold what was written. */
static void check_blocks(struct verify *v, const uint8_t *buf, size_t got, uint64_t first, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = i * v->bs, sector = (first + i) * v->bs / 512;
		v->checked++;
		if (at + v->bs > got || !verify_holds(v, buf + at, sector))
			count_bad(v, first + i);
	}
}

int verify_read_back(struct verify *v, int fd, const atomic_bool *stop, struct error *err)
{
	autofree void *buf = NULL;
	uint64_t most = READ_BACK_BYTES / v->bs;

	if (posix_memalign(&buf, 4096, READ_BACK_BYTES))
		return error_set(err, ERR_LIMIT, "verify=crc32c: no memory to read back");
	/* What is still in the page cache would prove nothing about the disk. */
	if (fdatasync(fd) < 0)
		return error_sys(err, errno, "verify=crc32c: flush before reading back");
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	for (uint64_t first = next_marked(v, 0), n; first < v->blocks; first = next_marked(v, first + n)) {
		for (n = 1; n < most && is_marked(v, first + n);)
			n++;
		if (atomic_load(stop))
			return error_set(err, ERR_INTERRUPTED, "verify=crc32c: ended before all blocks were read back");
		ssize_t got = pread(fd, buf, n * v->bs, (off_t)(first * v->bs));
		check_blocks(v, buf, got > 0 ? (size_t)got : 0, first, n);
	}
	return 0;
}
