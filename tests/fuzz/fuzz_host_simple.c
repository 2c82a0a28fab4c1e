/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's binary trace file. First byte: where it is cut in two, which changes nothing. */
#include <stdlib.h>
#include <string.h>

#include "host/trace/simple_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen { size_t n; uint64_t sum; };

static int see(void *ctx, const struct sighting *s)
{
	struct seen *seen = ctx;

	if (!sight_vantage(s->kind))
		abort();
	seen->n++;
	seen->sum = seen->sum * 31 + s->time + s->key + s->sector + s->length + s->device + s->op + s->flags;
	return 0;
}

static int parse(const uint8_t *p, size_t n, size_t cut, struct seen *seen)
{
	static struct simple_file f;
	static struct qemu_events_state st;
	struct error err = { 0 };

	memset(&st, 0, sizeof(st));
	memset(seen, 0, sizeof(*seen));
	simple_init(&f, &st);
	ptrdiff_t done = simple_feed(&f, p, cut, see, seen, &err);
	if (done >= 0)
		done = simple_feed(&f, p + done, n - (size_t)done, see, seen, &err);
	if (f.records < f.sightings + f.foreign + f.filtered + f.malformed)
		abort();
	return (int)err.code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole, cut;

	if (!size)
		return 0;
	int a = parse(data + 1, size - 1, size - 1, &whole), b = parse(data + 1, size - 1, (size - 1) * data[0] / 256, &cut);
	if (a != b || whole.n != cut.n || whole.sum != cut.sum)
		abort();
	return 0;
}
