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
	t->next = calloc(slots, sizeof(*t->next));
	t->prev = calloc(slots, sizeof(*t->prev));
	t->key = calloc(slots, sizeof(*t->key));
	return t->head && t->next && t->prev && t->key ? 0 : -1;
}

void keytab_fini(struct keytab *t)
{
	free(t->head);
	free(t->next);
	free(t->prev);
	free(t->key);
	memset(t, 0, sizeof(*t));
}

uint64_t keytab_bytes(const struct keytab *t)
{
	return (uint64_t)t->slots * (2 * sizeof(*t->head) + 2 * sizeof(*t->next) + sizeof(*t->key));
}

void keytab_clear(struct keytab *t)
{
	memset(t->head, 0, (size_t)t->slots * 2 * sizeof(*t->head));
	memset(t->next, 0, (size_t)t->slots * sizeof(*t->next));
	memset(t->prev, 0, (size_t)t->slots * sizeof(*t->prev));
}

/* Fibonacci hashing; the high bits are the mixed ones. */
static inline uint32_t bucket(const struct keytab *t, uint64_t key)
{
	return (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 32) & t->mask;
}

void keytab_put(struct keytab *t, uint32_t slot, uint64_t key)
{
	uint32_t b = bucket(t, key);
	t->key[slot] = key;
	t->next[slot] = t->head[b];
	t->prev[slot] = 0;
	if (t->head[b])
		t->prev[t->head[b] - 1] = slot + 1;
	t->head[b] = slot + 1;
}

void keytab_drop(struct keytab *t, uint32_t slot)
{
	uint32_t *head = &t->head[bucket(t, t->key[slot])], next = t->next[slot], prev = t->prev[slot];
	if (!prev && *head != slot + 1)
		return;
	*(prev ? &t->next[prev - 1] : head) = next;
	if (next)
		t->prev[next - 1] = prev;
	t->next[slot] = t->prev[slot] = 0;
}

uint32_t keytab_first(const struct keytab *t, uint64_t key)
{
	uint32_t at = t->head[bucket(t, key)];
	while (at && t->key[at - 1] != key)
		at = t->next[at - 1];
	return at;
}

uint32_t keytab_after(const struct keytab *t, uint32_t at)
{
	uint64_t key = t->key[at - 1];
	do
		at = t->next[at - 1];
	while (at && t->key[at - 1] != key);
	return at;
}
