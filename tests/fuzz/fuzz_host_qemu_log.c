/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's trace log. First byte: where the text is cut in two. Cut or whole, it gives the same sightings and the same counts, and each of
 * them can be packed.
 */
#include <stdlib.h>
#include <string.h>

#include "host/trace/qemu_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEEN_MAX = 1024 };
struct seen { size_t n; struct sighting s[SEEN_MAX]; };

static int see(void *ctx, size_t behind, const struct sighting *s)
{
	struct seen *seen = ctx;

	(void)behind;
	if (seen->n < SEEN_MAX)
		seen->s[seen->n++] = *s;
	return 0;
}

static void parse(const char *text, size_t n, size_t cut, struct seen *seen, struct qemu_log *l, struct qemu_events_state *st)
{
	memset(st, 0, sizeof(*st));
	qemu_log_init(l, st);
	seen->n = 0;
	ptrdiff_t done = qemu_log_feed(l, text, cut, see, seen);
	if (done < 0 || (size_t)done > cut)
		abort();
	ptrdiff_t more = qemu_log_feed(l, text + done, n - (size_t)done, see, seen);
	if (more < 0 || (size_t)more > n - (size_t)done)
		abort();
	if (l->lines != l->sightings + l->filtered + l->foreign + l->other + l->malformed)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct seen whole, cut, back;
	static struct qemu_log a, b;
	static struct qemu_events_state sa, sb;
	struct error err;
	struct wbuf w;

	if (!size)
		return 0;
	const char *text = (const char *)data + 1;
	parse(text, size - 1, size - 1, &whole, &a, &sa);
	parse(text, size - 1, (size - 1) * data[0] / 256, &cut, &b, &sb);
	if (whole.n != cut.n || a.lines != b.lines || a.malformed != b.malformed || memcmp(whole.s, cut.s, whole.n * sizeof(*whole.s)))
		abort();
	wbuf_heap(&w, SIGHT_CHUNK_BYTES);
	sights_pack(&w, whole.s, whole.n);
	if (w.bad || sights_unpack((struct span){ w.p, w.len }, back.s, SEEN_MAX, &err) != (int)whole.n || memcmp(back.s, whole.s, whole.n * sizeof(*whole.s)))
		abort();
	wbuf_fini(&w);
	return 0;
}
