/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/iorec.h"

enum { IOREC_VERSION = 1, TAG_OP_BITS = 2, TAG_FLAG_BITS = 1, TAG_JOB_SHIFT = TAG_OP_BITS + TAG_FLAG_BITS,
       /* time, service and sector take at least a byte a record each. */
       RECORD_BYTES_MIN = 3 };

enum time_base { SUBMIT_SUBMIT, SUBMIT_REAP, REAP_REAP, TIME_BASES };

static inline uint64_t zigzag(uint64_t change)
{
	return change << 1 ^ (0 - (change >> 63));
}

static inline size_t varint_size(uint64_t v)
{
	return (size_t)(63 - __builtin_clzll(v | 1)) / 7 + 1;
}

static inline uint64_t tag_of(const struct io_record *r)
{
	return (uint64_t)r->op | (uint64_t)r->flags << TAG_OP_BITS | (uint64_t)r->job << TAG_JOB_SHIFT;
}

/* ---- packing ---- */

/* What a column holds for one record, given the one before (zeros before the first). Inlined into
 * put_column(), so that each column is a loop of its own. */
typedef uint64_t cell_fn(const struct io_record *r, const struct io_record *before, unsigned shift);

static inline uint64_t cell_submit_submit(const struct io_record *r, const struct io_record *before, unsigned shift)
{
	(void)shift;
	return zigzag(r->submit - before->submit);
}

static inline uint64_t cell_submit_reap(const struct io_record *r, const struct io_record *before, unsigned shift)
{
	(void)shift;
	return zigzag(r->submit - before->reap);
}

static inline uint64_t cell_reap_reap(const struct io_record *r, const struct io_record *before, unsigned shift)
{
	(void)shift;
	return zigzag(r->reap - before->reap);
}

static inline uint64_t cell_service(const struct io_record *r, const struct io_record *before, unsigned shift)
{
	(void)before;
	(void)shift;
	return r->reap - r->submit;
}

static inline uint64_t cell_wait(const struct io_record *r, const struct io_record *before, unsigned shift)
{
	(void)before;
	(void)shift;
	return r->submit - r->intended;
}

static inline uint64_t cell_sector(const struct io_record *r, const struct io_record *before, unsigned shift)
{
	return zigzag((r->sector >> shift) - (before->sector >> shift));
}

static inline uint64_t cell_tag(const struct io_record *r, const struct io_record *before, unsigned shift)
{
	(void)before;
	(void)shift;
	return tag_of(r);
}

static inline uint64_t cell_length(const struct io_record *r, const struct io_record *before, unsigned shift)
{
	(void)before;
	(void)shift;
	return r->length;
}

static inline uint64_t cell_result(const struct io_record *r, const struct io_record *before, unsigned shift)
{
	(void)before;
	(void)shift;
	return zigzag((uint64_t)(int64_t)r->result - r->length);
}

static const struct io_record no_record;

static inline __attribute__((always_inline)) size_t
column_size(cell_fn *cell, const struct io_record *r, size_t n, unsigned shift)
{
	const struct io_record *before = &no_record;
	size_t bytes = 0;
	for (size_t i = 0; i < n; before = &r[i++])
		bytes += varint_size(cell(&r[i], before, shift));
	return bytes;
}

static inline __attribute__((always_inline)) void
put_column(struct wbuf *w, cell_fn *cell, const struct io_record *r, size_t n, unsigned shift)
{
	const struct io_record *before = &no_record;
	put_varint(w, column_size(cell, r, n, shift));
	for (size_t i = 0; i < n; before = &r[i++])
		put_varint(w, cell(&r[i], before, shift));
}

/* Gives each run of equal cells to `run`. */
static inline __attribute__((always_inline)) size_t
each_run(struct wbuf *w, cell_fn *cell, const struct io_record *r, size_t n, size_t (*run)(struct wbuf *, uint64_t, size_t))
{
	size_t bytes = 0, start = 0;
	for (size_t i = 1; i <= n; i++) {
		if (i < n && cell(&r[i], &r[i - 1], 0) == cell(&r[start], &r[i - 1], 0))
			continue;
		bytes += run(w, cell(&r[start], &no_record, 0), i - start);
		start = i;
	}
	return bytes;
}

static size_t size_run(struct wbuf *w, uint64_t value, size_t count)
{
	(void)w;
	return varint_size(value) + varint_size(count);
}

static size_t put_run(struct wbuf *w, uint64_t value, size_t count)
{
	put_varint(w, value);
	put_varint(w, count);
	return 0;
}

static inline __attribute__((always_inline)) void
put_runs(struct wbuf *w, cell_fn *cell, const struct io_record *r, size_t n)
{
	put_varint(w, each_run(w, cell, r, n, size_run));
	each_run(w, cell, r, n, put_run);
}

static void put_time(struct wbuf *w, const struct io_record *r, size_t n)
{
	size_t size[TIME_BASES] = {
		[SUBMIT_SUBMIT] = column_size(cell_submit_submit, r, n, 0),
		[SUBMIT_REAP] = column_size(cell_submit_reap, r, n, 0),
		[REAP_REAP] = column_size(cell_reap_reap, r, n, 0),
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
	if (any)
		put_column(w, cell_wait, r, n, 0);
	else
		put_varint(w, 0);
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
	uint64_t bytes = get_varint(in);
	struct span s = get_bytes(in, bytes);
	rbuf_init(&column, s.p, s.len);
	column.bad = in->bad;
	return column;
}

static uint64_t get_change(struct rbuf *column)
{
	return (uint64_t)get_svarint(column);
}

/* Changes wait in .submit and service times in .reap until both columns are read. */
static bool get_times(struct rbuf *in, struct io_record *out, size_t n)
{
	struct rbuf time = get_column(in), service = get_column(in);
	for (size_t i = 0; i < n; i++)
		out[i].submit = get_change(&time);
	for (size_t i = 0; i < n; i++)
		out[i].reap = get_varint(&service);
	return rbuf_done(&time) && rbuf_done(&service);
}

static void resolve_times(struct io_record *out, size_t n, enum time_base base)
{
	uint64_t submit = 0, reap = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t change = out[i].submit, service = out[i].reap;
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
	struct rbuf wait = get_column(in);
	bool none = !wait.bad && rbuf_left(&wait) == 0;
	for (size_t i = 0; i < n; i++)
		out[i].intended = out[i].submit - (none ? 0 : get_varint(&wait));
	return rbuf_done(&wait);
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
	if (shift > 63)
		return false;
	for (size_t i = 0; i < n; i++) {
		sector += get_change(&column);
		out[i].sector = sector << shift;
	}
	return rbuf_done(&column);
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
		uint64_t change = folded >> 1 ^ (0 - (folded & 1));
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
