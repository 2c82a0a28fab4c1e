/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/trace/anchor.h"

#include <stdlib.h>

#include "common/tsc.h"

enum { FIRST = 256 };

struct anchor anchor_take(clockid_t clock, int tries)
{
	struct tsc_anchor a = tsc_anchor_take(clock, tries);

	return (struct anchor){ .ns = a.ns, .before = a.before, .after = a.after };
}

int anchors_init(struct anchors *a, clockid_t clock, struct error *err)
{
	*a = (struct anchors){ .clock = clock, .list = malloc(FIRST * sizeof(*a->list)), .cap = FIRST, .every = 1 };
	return a->list ? 0 : error_set(err, ERR_LIMIT, "out of memory for clock anchors");
}

void anchors_fini(struct anchors *a)
{
	free(a->list);
	*a = (struct anchors){ 0 };
}

static void thin_out(struct anchors *a)
{
	size_t kept = 0;

	for (size_t i = 0; i < a->n; i += 2)
		a->list[kept++] = a->list[i];
	a->n = kept;
	a->every *= 2;
}

static void make_room(struct anchors *a)
{
	size_t cap = a->cap * 2 < ANCHORS_MAX ? a->cap * 2 : ANCHORS_MAX;
	struct anchor *more = cap > a->cap ? realloc(a->list, cap * sizeof(*more)) : NULL;

	if (!more) {
		thin_out(a);
		return;
	}
	a->list = more;
	a->cap = cap;
}

void anchors_add(struct anchors *a, const struct anchor *one, bool due)
{
	if (!due && ++a->skipped < a->every)
		return;
	a->skipped = 0;
	if (a->n == a->cap)
		make_room(a);
	a->list[a->n++] = *one;
}

void anchors_take(struct anchors *a, uint64_t position, bool due)
{
	if (!due && a->skipped + 1 < a->every) {
		a->skipped++;
		return;
	}
	struct anchor one = anchor_take(a->clock, ANCHOR_TRIES);
	one.position = position;
	anchors_add(a, &one, true);
}

struct sighting anchor_sighting(const struct anchor *a)
{
	return (struct sighting){ .time = a->ns, .key = a->before, .sector = a->after, .kind = SIGHT_ANCHOR, .op = SIGHT_OP_NONE };
}
