/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stored result of attribution. What unpacks must pack, and unpack to the same bytes again. */
#include <stdlib.h>
#include <string.h>

#include "attribute/result.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct attribution a, b;
	struct error err;
	if (attribution_unpack((struct span){ data, size }, &a, &err) < 0)
		return 0;
	struct wbuf w, again;
	wbuf_heap(&w, 4 << 20);
	wbuf_heap(&again, 4 << 20);
	attribution_pack(&w, &a);
	if (w.bad || attribution_unpack((struct span){ w.p, w.len }, &b, &err) < 0)
		abort();
	attribution_pack(&again, &b);
	if (again.len != w.len || memcmp(again.p, w.p, w.len) != 0)
		abort();
	(void)attribution_bound_ns(&a);
	(void)attribution_tier(&a);
	for (unsigned i = 0; i < EXAMPLES; i++)
		for (unsigned from = 0; from < BOUNDARIES; from++)
			(void)attributed_bound(&a.example[i].r, from, BOUNDARIES - 1);
	wbuf_fini(&w);
	wbuf_fini(&again);
	return 0;
}
