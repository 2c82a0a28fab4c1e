/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A column of changes; the first two bytes say how many. What unpacks must pack and unpack to the same. */
#include <stdlib.h>
#include <string.h>

#include "common/column.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint64_t v[COLUMN_MAX], back[COLUMN_MAX];
	static uint8_t mem[COLUMN_BYTES_MAX];
	struct rbuf r;
	struct wbuf w;
	rbuf_init(&r, data, size);
	size_t n = get_u16(&r);
	if (r.bad || !column_get(&r, v, n))
		return 0;
	wbuf_fixed(&w, mem, sizeof(mem));
	column_put(&w, v, n);
	rbuf_init(&r, mem, w.len);
	if (w.bad || !column_get(&r, back, n) || memcmp(v, back, n * sizeof(*v)) != 0)
		abort();
	return 0;
}
