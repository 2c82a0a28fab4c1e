/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's pages, decoded with the formats of a real one. The first byte says how the rest is cut: 1 KiB pages, 4 KiB pages, or
 * one of its own size. However it is cut into calls, the same sightings must come, and all must pack.
 */
#include <stdlib.h>
#include <string.h>

#include "host/trace/kernel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COMMON "field:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\nfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n"
#define BLOCK COMMON "field:dev_t dev;\toffset:8;\tsize:4;\tsigned:0;\nfield:sector_t sector;\toffset:16;\tsize:8;\tsigned:0;\n"

static const struct { unsigned kind; const char *text; } events[] = {
	{ SIGHT_G_ISSUE, "name: block_rq_issue\nID: 1061\n" BLOCK "field:unsigned int nr_sector;\toffset:24;\tsize:4;\tsigned:0;\nfield:char rwbs[8];\toffset:32;\tsize:8;\tsigned:0;\n" },
	{ SIGHT_G_COMPLETE, "name: block_rq_complete\nID: 1064\n" BLOCK "field:unsigned int nr_sector;\toffset:24;\tsize:4;\tsigned:0;\nfield:int error;\toffset:28;\tsize:4;\tsigned:1;\nfield:char rwbs[8];\toffset:32;\tsize:8;\tsigned:0;\n" },
	{ SIGHT_G_SPLIT, "name: block_split\nID: 1051\n" BLOCK "field:sector_t new_sector;\toffset:24;\tsize:8;\tsigned:0;\nfield:char rwbs[8];\toffset:32;\tsize:8;\tsigned:0;\n" },
	{ SIGHT_G_KICK, "name: kick\nID: 1380\n" COMMON "field:u64 key;\toffset:16;\tsize:8;\tsigned:0;\n" },
	{ SIGHT_G_IRQ, "name: irq\nID: 1385\n" COMMON "field:s32 key;\toffset:16;\tsize:4;\tsigned:1;\n" },
	{ SIGHT_H_ENTER, "name: sys_enter_pread64\nID: 838\n" COMMON "field:unsigned int fd;\toffset:16;\tsize:8;\tsigned:0;\nfield:size_t count;\toffset:32;\tsize:8;\tsigned:0;\nfield:loff_t pos;\toffset:40;\tsize:8;\tsigned:0;\n" },
	{ SIGHT_H_EXIT, "name: sys_exit_pread64\nID: 837\n" COMMON "field:long ret;\toffset:16;\tsize:8;\tsigned:1;\n" },
	{ SIGHT_H_KVM_MMIO, "name: kvm_mmio\nID: 38\n" COMMON "field:u32 type;\toffset:8;\tsize:4;\tsigned:0;\nfield:u64 gpa;\toffset:16;\tsize:8;\tsigned:0;\n" },
};

static struct kernel_decoder *decoder(void)
{
	struct kernel_decoder *d = kernel_decoder_new(NULL);
	static struct trace_format f;
	for (size_t i = 0; d && i < sizeof(events) / sizeof(events[0]); i++)
		if (format_parse((struct span){ (const uint8_t *)events[i].text, strlen(events[i].text) }, &f, NULL) ||
		    kernel_decoder_add(d, events[i].kind, &f, NULL))
			abort();
	return d;
}

static size_t all_of(const struct kernel_decoder *d, const uint8_t *page, size_t size, size_t step, struct sighting *out, size_t cap)
{
	struct kernel_counts counts = { 0 };
	struct page_walk w;
	size_t n = 0, more;
	if (!page_open(&w, page, size))
		return 0;
	do {
		more = kernel_decode(d, &w, out + n, step, &counts);
		n += more;
	} while (more == step && n + step <= cap);
	if (w.p > page + size || counts.unknown + counts.bad + counts.dropped + n != counts.records)
		abort();
	return n;
}

static void check_page(const struct kernel_decoder *d, const uint8_t *data, size_t size)
{
	static struct sighting a[SIGHT_CHUNK], b[SIGHT_CHUNK];
	/* In memory of its own, so that a sanitizer sees a step beyond it. */
	uint8_t *page = malloc(size);
	struct wbuf w;
	if (!page)
		abort();
	memcpy(page, data, size);
	memset(a, 0, sizeof(a));
	memset(b, 0, sizeof(b));
	size_t n = all_of(d, page, size, SIGHT_CHUNK, a, SIGHT_CHUNK), m = all_of(d, page, size, 8, b, SIGHT_CHUNK);
	if (n != m)
		abort();
	for (size_t i = 0; i < n; i++)
		if (a[i].time != b[i].time || a[i].kind != b[i].kind || a[i].key != b[i].key || a[i].sector != b[i].sector || a[i].length != b[i].length)
			abort();
	wbuf_heap(&w, SIGHT_CHUNK_BYTES);
	sights_pack(&w, a, n);
	if (w.bad)
		abort();
	wbuf_fini(&w);
	free(page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct kernel_decoder *d;
	if (!d && !(d = decoder()))
		abort();
	if (size < 1)
		return 0;
	size_t cut = *data % 3 == 0 ? 1024 : *data % 3 == 1 ? 4096 : size - 1;
	for (size_t at = 1; cut && at + cut <= size && at < 1 << 16; at += cut)
		check_page(d, data + at, cut);
	return 0;
}
