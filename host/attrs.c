/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/show.h"

#include <stdlib.h>
#include <string.h>

static int add(void *ctx, const char *key, const char *text)
{
	struct attrs *a = ctx;
	if (a->n == a->cap) {
		size_t cap = a->cap ? 2 * a->cap : 128;
		struct attr *p = realloc(a->item, cap * sizeof(*p));
		if (!p) {
			a->failed = true;
			return 1;
		}
		a->item = p;
		a->cap = cap;
	}
	struct attr it = { strdup(key), strdup(text) };
	if (!it.key || !it.text) {
		free(it.key);
		free(it.text);
		a->failed = true;
		return 1;
	}
	a->item[a->n++] = it;
	return 0;
}

int attrs_load(struct attrs *a, struct store *s, uint64_t run, struct error *err)
{
	*a = (struct attrs){ 0 };
	int r = store_each_attr(s, run, "", add, a, err);
	if (a->failed)
		r = error_set(err, ERR_LIMIT, "out of memory");
	if (r)
		attrs_fini(a);
	return r ? -1 : 0;
}

void attrs_fini(struct attrs *a)
{
	for (size_t i = 0; i < a->n; i++) {
		free(a->item[i].key);
		free(a->item[i].text);
	}
	free(a->item);
	*a = (struct attrs){ 0 };
}

static int by_key(const void *key, const void *item)
{
	return strcmp(key, ((const struct attr *)item)->key);
}

/* The store gives them in key order. */
const char *attrs_get(const struct attrs *a, const char *key)
{
	const struct attr *it = a->n ? bsearch(key, a->item, a->n, sizeof(*it), by_key) : NULL;
	return it ? it->text : NULL;
}

const char *attrs_text(const struct attrs *a, const char *key)
{
	const char *text = attrs_get(a, key);
	return text ? text : "";
}

uint64_t attrs_u64(const struct attrs *a, const char *key)
{
	return strtoull(attrs_text(a, key), NULL, 10);
}
