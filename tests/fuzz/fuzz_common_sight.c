/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packed sightings from a database. What unpacks must pack and unpack to the same. */
#include <stdlib.h>
#include <string.h>

#include "common/sight.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sighting s[SIGHT_CHUNK], back[SIGHT_CHUNK];
	struct wbuf w;
	struct error err;
	int n = sights_unpack((struct span){ data, size }, s, SIGHT_CHUNK, &err);
	if (n < 0)
		return 0;
	wbuf_heap(&w, SIGHT_CHUNK_BYTES);
	sights_pack(&w, s, (size_t)n);
	if (w.bad || sights_unpack((struct span){ w.p, w.len }, back, SIGHT_CHUNK, &err) != n || memcmp(s, back, (size_t)n * sizeof(*s)))
		abort();
	wbuf_fini(&w);
	return 0;
}
