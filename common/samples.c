/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/samples.h"

#include <math.h>

enum { SAMPLES_VERSION = 1,
       SAMPLE_BYTES_MIN = 1 + 1 + 8 };

void samples_pack(struct wbuf *w, const struct sample *s, size_t n)
{
	bool good = n <= SAMPLES_CHUNK;
	for (size_t i = 0; good && i < n; i++)
		good = !isnan(s[i].value);
	if (!good) {
		w->bad = true;
		return;
	}
	put_u8(w, SAMPLES_VERSION);
	put_varint(w, n);
	for (size_t i = 0; i < n; i++)
		put_varint(w, s[i].series);
	uint64_t before = 0;
	for (size_t i = 0; i < n; before = s[i++].tsc)
		put_svarint(w, (int64_t)(s[i].tsc - before));
	for (size_t i = 0; i < n; i++)
		put_f64(w, s[i].value);
}

static int damaged(struct error *err, const char *what)
{
	return error_set(err, ERR_CORRUPT, "sample chunk: %s", what);
}

static int get_columns(struct rbuf *in, struct sample *out, size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t series = get_varint(in);
		if (series > UINT32_MAX)
			return damaged(err, "a series number over 32 bits");
		out[i].series = (uint32_t)series;
	}
	uint64_t tsc = 0;
	for (size_t i = 0; i < n; i++)
		out[i].tsc = tsc += (uint64_t)get_svarint(in);
	for (size_t i = 0; i < n; i++) {
		out[i].value = get_f64(in);
		if (isnan(out[i].value))
			return damaged(err, "a value that is not a number");
	}
	return rbuf_done(in) ? 0 : damaged(err, "truncated, or bytes left over");
}

int samples_unpack(struct span packed, struct sample *out, size_t cap, struct error *err)
{
	struct rbuf in;
	rbuf_init(&in, packed.p, packed.len);
	uint8_t version = get_u8(&in);
	uint64_t count = get_varint(&in);
	if (in.bad)
		return damaged(err, "too short for its header");
	if (version != SAMPLES_VERSION)
		return error_set(err, ERR_VERSION, "sample chunk: version %u; this program reads version %d", version, SAMPLES_VERSION);
	if (count > SAMPLES_CHUNK || count > packed.len / SAMPLE_BYTES_MIN)
		return damaged(err, "its count is more than its bytes can hold");
	if (count > cap)
		return error_set(err, ERR_LIMIT, "sample chunk: %llu samples; there is room for %zu", (unsigned long long)count, cap);
	return get_columns(&in, out, (size_t)count, err) < 0 ? -1 : (int)count;
}
