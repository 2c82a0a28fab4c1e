// SPDX-License-Identifier: GPL-2.0-or-later
/* Chained hash over the slots of a ring: flat arrays, no allocation after the start. */
#include <stdlib.h>
#include <string.h>

#include "attribute/engine.h"

int keytab_init(struct keytab *t, uint32_t slots)
{
	t->slots = slots;
	t->mask = slots * 2 - 1;
	t->head = calloc((size_t)slots * 2, sizeof(*t->head));
	t->slot = calloc(slots, sizeof(*t->slot));
	return t->head && t->slot ? 0 : -1;
}

void keytab_fini(struct keytab *t)
{
	free(t->head);
	free(t->slot);
	memset(t, 0, sizeof(*t));
}

uint64_t keytab_bytes(const struct keytab *t)
{
	return (uint64_t)t->slots * (2 * sizeof(*t->head) + sizeof(*t->slot));
}

void keytab_clear(struct keytab *t)
{
	memset(t->head, 0, (size_t)t->slots * 2 * sizeof(*t->head));
	memset(t->slot, 0, (size_t)t->slots * sizeof(*t->slot));
}

/* Fibonacci hashing; the high bits are the mixed ones. */
static inline uint32_t bucket(const struct keytab *t, uint64_t key)
{
	return (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 32) & t->mask;
}

void keytab_put(struct keytab *t, uint32_t slot, uint64_t key)
{
	uint32_t b = bucket(t, key);
	t->slot[slot].key = key;
	t->slot[slot].next = t->head[b];
	t->slot[slot].prev = 0;
	if (t->head[b])
		t->slot[t->head[b] - 1].prev = slot + 1;
	t->head[b] = slot + 1;
}

void keytab_drop(struct keytab *t, uint32_t slot)
{
	uint32_t *head = &t->head[bucket(t, t->slot[slot].key)], next = t->slot[slot].next, prev = t->slot[slot].prev;
	if (!prev && *head != slot + 1)
		return;
	*(prev ? &t->slot[prev - 1].next : head) = next;
	if (next)
		t->slot[next - 1].prev = prev;
	t->slot[slot].next = t->slot[slot].prev = 0;
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
