/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/iorec.h"

#include <string.h>

#include "common/varint.h"

enum { IOREC_VERSION = 1, TAG_OP_BITS = 2, TAG_FLAG_BITS = 1, TAG_JOB_SHIFT = TAG_OP_BITS + TAG_FLAG_BITS,
       /* time, service and sector take at least a byte a record each. */
       RECORD_BYTES_MIN = 3,
       BLOCK = 128,
       /* The time base is chosen by so many records: what a load looks like shows early. */
       JUDGED = 1024 };

enum time_base { SUBMIT_SUBMIT, SUBMIT_REAP, REAP_REAP, TIME_BASES };

static inline uint64_t tag_of(const struct io_record *r)
{
	return (uint64_t)r->op | (uint64_t)r->flags << TAG_OP_BITS | (uint64_t)r->job << TAG_JOB_SHIFT;
}

/* ---- packing ---- */

/* What a column holds for one record, given the one before (zeros before the first). Inlined into
 * put_column(), so that each column is a loop of its own. */
typedef uint64_t cell_fn(const struct io_record *r, const struct io_record *before, unsigned shift);

#define CELL(name, value) \
	static inline uint64_t cell_##name(const struct io_record *r, const struct io_record *before, unsigned shift) \
	{ \
		(void)before; \
		(void)shift; \
		return value; \
	}
CELL(submit_submit, zigzag(r->submit - before->submit))
CELL(submit_reap, zigzag(r->submit - before->reap))
CELL(reap_reap, zigzag(r->reap - before->reap))
CELL(service, r->reap - r->submit)
CELL(wait, r->submit - r->intended)
CELL(tag, tag_of(r))
CELL(sector, zigzag((r->sector >> shift) - (before->sector >> shift)))
CELL(length, r->length)
CELL(result, zigzag((uint64_t)(int64_t)r->result - r->length))
#undef CELL

static const struct io_record no_record;

static inline __attribute__((always_inline)) void
put_column(struct wbuf *w, cell_fn *cell, const struct io_record *r, size_t n, unsigned shift)
{
	uint64_t block[BLOCK];
	uint8_t bytes[BLOCK * VARINT_MAX];
	const struct io_record *before = &no_record;
	size_t start = put_blob_open(w);
	for (size_t i = 0, now; i < n; i += now) {
		now = n - i < BLOCK ? n - i : BLOCK;
		for (size_t k = 0; k < now; before = &r[i + k++])
			block[k] = cell(&r[i + k], before, shift);
		put_bytes(w, bytes, varints_write(bytes, block, now));
	}
	put_blob_close(w, start);
}

static inline __attribute__((always_inline)) void
put_runs(struct wbuf *w, cell_fn *cell, const struct io_record *r, size_t n)
{
	size_t start = put_blob_open(w);
	for (size_t i = 0, end; i < n; i = end) {
		uint64_t value = cell(&r[i], &no_record, 0);
		for (end = i + 1; end < n && cell(&r[end], &no_record, 0) == value;)
			end++;
		put_varint(w, value);
		put_varint(w, end - i);
	}
	put_blob_close(w, start);
}

static inline __attribute__((always_inline)) size_t
size_of_first(cell_fn *cell, const struct io_record *r, size_t n)
{
	const struct io_record *before = &no_record;
	size_t bytes = 0;
	for (size_t i = 0; i < n && i < JUDGED; before = &r[i++])
		bytes += varint_size(cell(&r[i], before, 0));
	return bytes;
}

static void put_time(struct wbuf *w, const struct io_record *r, size_t n)
{
	size_t size[TIME_BASES] = {
		[SUBMIT_SUBMIT] = size_of_first(cell_submit_submit, r, n),
		[SUBMIT_REAP] = size_of_first(cell_submit_reap, r, n),
		[REAP_REAP] = size_of_first(cell_reap_reap, r, n),
	};
	enum time_base best = SUBMIT_SUBMIT;
	for (enum time_base b = SUBMIT_REAP; b < TIME_BASES; b++)
		if (size[b] < size[best])
			best = b;
	put_u8(w, (uint8_t)best);
	if (best == SUBMIT_SUBMIT)
		put_column(w, cell_submit_submit, r, n, 0);
	else if (best == SUBMIT_REAP)
		put_column(w, cell_submit_reap, r, n, 0);
	else
		put_column(w, cell_reap_reap, r, n, 0);
}

static void put_wait(struct wbuf *w, const struct io_record *r, size_t n)
{
	uint64_t any = 0;
	for (size_t i = 0; i < n; i++)
		any |= r[i].submit - r[i].intended;
	put_column(w, cell_wait, r, any ? n : 0, 0);
}

static void put_sectors(struct wbuf *w, const struct io_record *r, size_t n)
{
	uint64_t all = 0;
	for (size_t i = 0; i < n; i++)
		all |= r[i].sector;
	unsigned shift = all ? (unsigned)__builtin_ctzll(all) : 0;
	put_u8(w, (uint8_t)shift);
	put_column(w, cell_sector, r, n, shift);
}

static bool packable(const struct io_record *r, size_t n)
{
	if (n > IOREC_CHUNK)
		return false;
	bool good = true;
	for (size_t i = 0; i < n; i++)
		good &= r[i].job < IOREC_JOBS_MAX && r[i].op < 1 << TAG_OP_BITS && r[i].flags < 1 << TAG_FLAG_BITS;
	return good;
}

void iorec_pack(struct wbuf *w, const struct io_record *records, size_t n)
{
	if (!packable(records, n)) {
		w->bad = true;
		return;
	}
	put_u8(w, IOREC_VERSION);
	put_varint(w, n);
	put_time(w, records, n);
	put_column(w, cell_service, records, n, 0);
	put_wait(w, records, n);
	put_runs(w, cell_tag, records, n);
	put_sectors(w, records, n);
	put_runs(w, cell_length, records, n);
	put_runs(w, cell_result, records, n);
}

/* ---- unpacking ---- */

static int damaged(struct error *err, const char *what)
{
	return error_set(err, ERR_CORRUPT, "I/O chunk: %s", what);
}

/* Version and count; leaves the reader before the time base. */
static int get_head(struct rbuf *in, struct span packed, struct error *err)
{
	rbuf_init(in, packed.p, packed.len);
	if (packed.len > IOREC_CHUNK_BYTES)
		return damaged(err, "longer than a chunk may be");
	uint8_t version = get_u8(in);
	uint64_t count = get_varint(in);
	if (in->bad)
		return damaged(err, "too short for its header");
	if (version != IOREC_VERSION)
		return error_set(err, ERR_VERSION, "I/O chunk: version %u; this program reads version %d", version, IOREC_VERSION);
	if (count > IOREC_CHUNK || count > packed.len / RECORD_BYTES_MIN)
		return damaged(err, "its count is more than its bytes can hold");
	return (int)count;
}

int iorec_count(struct span packed, struct error *err)
{
	struct rbuf in;
	return get_head(&in, packed, err);
}

static struct rbuf get_column(struct rbuf *in)
{
	struct rbuf column;
	struct span s = get_blob(in);
	rbuf_init(&column, s.p, s.len);
	column.bad = in->bad;
	return column;
}

/* A column's n numbers into the 64-bit field at `offset` of each record. */
static bool get_field(struct rbuf *column, struct io_record *out, size_t offset, size_t n)
{
	uint64_t block[BLOCK];
	for (size_t i = 0, now; i < n; i += now) {
		now = n - i < BLOCK ? n - i : BLOCK;
		const uint8_t *next = column->bad ? NULL : varints_read(column->p, column->end, block, now);
		if (!next)
			return false;
		column->p = next;
		for (size_t k = 0; k < now; k++)
			memcpy((char *)&out[i + k] + offset, &block[k], sizeof(block[k]));
	}
	return rbuf_done(column);
}

/* Changes wait in .submit and service times in .reap until both columns are read. */
static bool get_times(struct rbuf *in, struct io_record *out, size_t n)
{
	struct rbuf time = get_column(in), service = get_column(in);
	return get_field(&time, out, offsetof(struct io_record, submit), n) && get_field(&service, out, offsetof(struct io_record, reap), n);
}

static void resolve_times(struct io_record *out, size_t n, enum time_base base)
{
	uint64_t submit = 0, reap = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t change = unzigzag(out[i].submit), service = out[i].reap;
		if (base == SUBMIT_SUBMIT)
			submit += change;
		else
			submit = reap + change - (base == REAP_REAP ? service : 0);
		reap = submit + service;
		out[i].submit = submit;
		out[i].reap = reap;
	}
}

static bool get_waits(struct rbuf *in, struct io_record *out, size_t n)
{
	struct rbuf column = get_column(in);
	bool none = !column.bad && rbuf_left(&column) == 0;
	if (!none && !get_field(&column, out, offsetof(struct io_record, intended), n))
		return false;
	for (size_t i = 0; i < n; i++)
		out[i].intended = out[i].submit - (none ? 0 : out[i].intended);
	return true;
}

/* The next run of a column; its count is within what is left to fill. */
static size_t get_run(struct rbuf *column, uint64_t *value, size_t left)
{
	*value = get_varint(column);
	uint64_t count = get_varint(column);
	if (count > left)
		column->bad = true;
	return column->bad ? 0 : (size_t)count;
}

static bool get_tags(struct rbuf *in, struct io_record *out, size_t n)
{
	struct rbuf column = get_column(in);
	uint64_t tag;
	for (size_t i = 0, run; i < n; i += run) {
		run = get_run(&column, &tag, n - i);
		if (!run || tag >> TAG_JOB_SHIFT >= IOREC_JOBS_MAX)
			return false;
		for (size_t k = i; k < i + run; k++) {
			out[k].op = tag & ((1 << TAG_OP_BITS) - 1);
			out[k].flags = tag >> TAG_OP_BITS & ((1 << TAG_FLAG_BITS) - 1);
			out[k].job = (uint16_t)(tag >> TAG_JOB_SHIFT);
		}
	}
	return rbuf_done(&column);
}

static bool get_sectors(struct rbuf *in, struct io_record *out, size_t n)
{
	unsigned shift = get_u8(in);
	struct rbuf column = get_column(in);
	uint64_t sector = 0;
	if (shift > 63 || !get_field(&column, out, offsetof(struct io_record, sector), n))
		return false;
	for (size_t i = 0; i < n; i++) {
		sector += unzigzag(out[i].sector);
		out[i].sector = sector << shift;
	}
	return true;
}

static bool get_lengths(struct rbuf *in, struct io_record *out, size_t n)
{
	struct rbuf column = get_column(in);
	uint64_t length;
	for (size_t i = 0, run; i < n; i += run) {
		run = get_run(&column, &length, n - i);
		if (!run || length > UINT32_MAX)
			return false;
		for (size_t k = i; k < i + run; k++)
			out[k].length = (uint32_t)length;
	}
	return rbuf_done(&column);
}

static bool get_results(struct rbuf *in, struct io_record *out, size_t n)
{
	struct rbuf column = get_column(in);
	uint64_t folded;
	for (size_t i = 0, run; i < n; i += run) {
		run = get_run(&column, &folded, n - i);
		if (!run)
			return false;
		uint64_t change = unzigzag(folded);
		for (size_t k = i; k < i + run; k++) {
			int64_t result = (int64_t)(out[k].length + change);
			if (result < INT32_MIN || result > INT32_MAX)
				return false;
			out[k].result = (int32_t)result;
		}
	}
	return rbuf_done(&column);
}

int iorec_unpack(struct span packed, struct io_record *out, size_t cap, struct error *err)
{
	struct rbuf in;
	int count = get_head(&in, packed, err);
	if (count < 0)
		return -1;
	size_t n = (size_t)count;
	if (n > cap)
		return error_set(err, ERR_LIMIT, "I/O chunk: %zu records; there is room for %zu", n, cap);
	unsigned base = get_u8(&in);
	if (base >= TIME_BASES)
		return damaged(err, "unknown time base");
	if (!get_times(&in, out, n))
		return damaged(err, "damaged time or service column");
	resolve_times(out, n, (enum time_base)base);
	if (!get_waits(&in, out, n))
		return damaged(err, "damaged wait column");
	if (!get_tags(&in, out, n))
		return damaged(err, "damaged tag column");
	if (!get_sectors(&in, out, n))
		return damaged(err, "damaged sector column");
	if (!get_lengths(&in, out, n))
		return damaged(err, "damaged length column");
	if (!get_results(&in, out, n))
		return damaged(err, "damaged result column");
	if (!rbuf_done(&in))
		return damaged(err, "bytes left over behind its columns");
	return count;
}
