/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values as they lie in a database. The first byte chooses what the rest is taken for. Checksums would
 * stop a fuzzer at the door, so what stands behind them is fed to directly as well.
 */
#include <stdlib.h>

#include "store/impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_block(struct span value)
{
	struct block_reader r;
	struct error err;
	struct span plain;
	if (block_reader_init(&r, &err) < 0)
		abort();
	if (block_decode(&r, span_of("key"), value, &plain, &err) == 0 && plain.len > VALUE_PLAIN_MAX)
		abort();
	block_reader_fini(&r);
}

static void try_clock(struct span packed)
{
	static struct clock_sample s[STORE_CLOCK_CHUNK];
	struct error err;
	struct wbuf w;
	int n = clock_unpack(packed, s, STORE_CLOCK_CHUNK, &err);
	if (n < 0)
		return;
	wbuf_heap(&w, VALUE_PLAIN_MAX);
	clock_pack(&w, s, (size_t)n);
	if (w.bad || w.len != packed.len)
		abort();
	wbuf_fini(&w);
}

static void try_run(struct span plain)
{
	struct run_row row;
	struct error err;
	struct wbuf w;
	static const struct span key = { (const uint8_t *)"\0\0\0\0\0\0\0\7", 8 };
	wbuf_heap(&w, VALUE_PLAIN_MAX + SEAL_BYTES);
	seal(&w, key, plain);
	if (!w.bad && run_unpack(key, span_of_wbuf(&w), &row, &err) == 0 && row.run.run != 7)
		abort();
	wbuf_fini(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store_epoch epoch;
	struct series_text series;
	struct store_stream stream;
	struct span plain, rest;
	struct error err;
	if (size == 0)
		return 0;
	rest = (struct span){ data + 1, size - 1 };
	switch (data[0] % 7) {
	case 0: try_block(rest); break;
	case 1: unseal(span_of("key"), rest, &plain, &err); break;
	case 2: try_clock(rest); break;
	case 3: epoch_unpack(rest, &epoch, &err); break;
	case 4: series_unpack(rest, &series, &err); break;
	case 5: try_run(rest); break;
	case 6: stream_unpack(rest, &stream, &err); break;
	}
	return 0;
}
