/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packed probe samples, and a packed histogram, from a peer: each has one packing. */
#include <stdlib.h>
#include <string.h>

#include "common/hist.h"
#include "common/samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_same(struct wbuf *w, const uint8_t *data, size_t size)
{
	if (w->bad || w->len != size || memcmp(w->p, data, size) != 0)
		abort();
	wbuf_fini(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sample s[SAMPLES_CHUNK];
	static struct hist h;
	struct span packed = { data, size };
	struct error err;
	struct wbuf w;
	int n = samples_unpack(packed, s, SAMPLES_CHUNK, &err);
	if (n >= 0) {
		wbuf_heap(&w, 1 << 20);
		samples_pack(&w, s, (size_t)n);
		expect_same(&w, data, size);
	}
	if (hist_unpack(packed, &h, &err) == 0) {
		wbuf_heap(&w, 1 << 20);
		hist_pack(&w, &h);
		expect_same(&w, data, size);
	}
	return 0;
}
