// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Chained hash over the slots of a ring: flat arrays. There are as many heads as slots are in, since few of a ring's are at once and
 * those few then lie in the nearest cache; memory that no slot has come to is never touched.
 */
#include <stdlib.h>
#include <string.h>

#include "attribute/engine.h"

enum { HEADS_FIRST = 1 << 8 };

int keytab_init(struct keytab *t, uint32_t slots)
{
	*t = (struct keytab){ .slots = slots, .mask = (slots * 2 < HEADS_FIRST ? slots * 2 : HEADS_FIRST) - 1 };
	t->head = pool_new((size_t)slots * 2, sizeof(*t->head));
	t->slot = pool_new(slots, sizeof(*t->slot));
	return t->head && t->slot ? 0 : -1;
}

void keytab_fini(struct keytab *t)
{
	pool_free(t->head, (size_t)t->slots * 2, sizeof(*t->head));
	pool_free(t->slot, t->slots, sizeof(*t->slot));
	memset(t, 0, sizeof(*t));
}

uint64_t keytab_bytes(const struct keytab *t)
{
	return (uint64_t)t->slots * (2 * sizeof(*t->head) + sizeof(*t->slot));
}

void keytab_clear(struct keytab *t)
{
	memset(t->head, 0, (t->mask + (size_t)1) * sizeof(*t->head));
	memset(t->slot, 0, (size_t)t->touched * sizeof(*t->slot));
	t->touched = t->in = 0;
}

/* Fibonacci hashing; the high bits are the mixed ones. */
static inline uint32_t bucket(const struct keytab *t, uint64_t key)
{
	return (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 32) & t->mask;
}

static void link_first(struct keytab *t, uint32_t slot)
{
	uint32_t *head = &t->head[bucket(t, t->slot[slot].key)];
	t->slot[slot].next = *head;
	t->slot[slot].prev = 0;
	if (*head)
		t->slot[*head - 1].prev = slot + 1;
	*head = slot + 1;
}

/* Twice as many heads: each chain falls into two, its order kept by moving the last one first. */
static void grow(struct keytab *t)
{
	uint32_t heads = t->mask + 1;
	t->mask = heads * 2 - 1;
	for (uint32_t b = 0; b < heads; b++) {
		uint32_t at = t->head[b];
		while (at && t->slot[at - 1].next)
			at = t->slot[at - 1].next;
		t->head[b] = 0;
		for (uint32_t before; at; at = before) {
			before = t->slot[at - 1].prev;
			link_first(t, at - 1);
		}
	}
}

void keytab_put(struct keytab *t, uint32_t slot, uint64_t key)
{
	if (t->in++ > t->mask && t->mask + 1 < t->slots * 2)
		grow(t);
	t->touched = slot < t->touched ? t->touched : slot + 1;
	t->slot[slot].key = key;
	link_first(t, slot);
}

void keytab_drop(struct keytab *t, uint32_t slot)
{
	if (slot >= t->touched)
		return;
	uint32_t *head = &t->head[bucket(t, t->slot[slot].key)], next = t->slot[slot].next, prev = t->slot[slot].prev;
	if (!prev && *head != slot + 1)
		return;
	*(prev ? &t->slot[prev - 1].next : head) = next;
	if (next)
		t->slot[next - 1].prev = prev;
	t->slot[slot].next = t->slot[slot].prev = 0;
	t->in--;
}

uint32_t keytab_first(const struct keytab *t, uint64_t key)
{
	uint32_t at = t->head[bucket(t, key)];
	while (at && t->slot[at - 1].key != key)
		at = t->slot[at - 1].next;
	return at;
}

uint32_t keytab_after(const struct keytab *t, uint32_t at)
{
	uint64_t key = t->slot[at - 1].key;
	do
		at = t->slot[at - 1].next;
	while (at && t->slot[at - 1].key != key);
	return at;
}
