/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's format text: parsed, and registered for every kind of sighting. What is registered must lie inside a record. */
#include <stdlib.h>

#include "host/trace/kernel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode_zeros(const struct kernel_decoder *d, uint16_t id)
{
	static uint8_t page[4096];
	struct kernel_counts counts = { 0 };
	struct page_walk w;
	struct sighting s;
	/* One record as long as its page. */
	uint32_t head[] = { 4096 - 16, 0, 0, 4096 - 16 - 4 };
	memset(page, 0, sizeof(page));
	memcpy(page + 8, head, sizeof(head));
	memcpy(page + 24, &id, sizeof(id));
	if (!page_open(&w, page, sizeof(page)))
		abort();
	kernel_decode(d, &w, &s, 1, &counts);
	if (counts.records != 1)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct trace_format f;
	struct error err = { 0 };
	size_t page;
	format_header_page((struct span){ data, size }, &page, &err);
	if (format_parse((struct span){ data, size }, &f, &err)) {
		if (err.code != ERR_PROTOCOL)
			abort();
		return 0;
	}
	for (unsigned kind = 0; kind <= SIGHT_H_SWITCH + 1; kind++) {
		struct kernel_decoder *d = kernel_decoder_new(&err);
		if (d && !kernel_decoder_add(d, kind, &f, &err))
			decode_zeros(d, f.id);
		kernel_decoder_free(d);
	}
	return 0;
}
