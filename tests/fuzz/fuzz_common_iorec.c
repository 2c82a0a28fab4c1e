/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packed I/O records from a peer. What unpacks must pack and unpack to the same records. */
#include <stdlib.h>

#include "common/iorec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct io_record *r, size_t n)
{
	static struct io_record back[IOREC_CHUNK];
	struct wbuf w;
	wbuf_heap(&w, IOREC_CHUNK_BYTES);
	iorec_pack(&w, r, n);
	if (w.bad || iorec_unpack((struct span){ w.p, w.len }, back, n, NULL) != (int)n)
		abort();
	for (size_t i = 0; i < n; i++)
		if (r[i].submit != back[i].submit || r[i].reap != back[i].reap || r[i].intended != back[i].intended ||
		    r[i].sector != back[i].sector || r[i].length != back[i].length || r[i].result != back[i].result ||
		    r[i].job != back[i].job || r[i].op != back[i].op || r[i].flags != back[i].flags)
			abort();
	wbuf_fini(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct io_record r[IOREC_CHUNK];
	struct span packed = { data, size };
	struct error err;
	int count = iorec_count(packed, &err), n = iorec_unpack(packed, r, IOREC_CHUNK, &err);
	if (n >= 0 && n != count)
		abort();
	if (n >= 0)
		again(r, (size_t)n);
	return 0;
}
