/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a template: read or refused with a message, never more. */
#include <stdlib.h>
#include <string.h>

#include "mine/search.h"
#include "mine/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *xsd;
static size_t xsd_len;

static void check(const struct template *t)
{
	/* What the schema promises, the reader relies on. */
	if (!t->name || !t->title || !t->items || !(t->level >= 0.5 && t->level <= 0.999))
		abort();
	for (size_t i = 0; i < t->items; i++) {
		const struct item *item = &t->item[i];
		bool chart = item->kind == ITEM_CHART, compare = item->kind == ITEM_COMPARE;
		if (!item->title || (chart && !item->id) || (compare && (!item->key || !item->baseline)))
			abort();
		for (size_t k = 0; k < item->statistics; k++)
			if (!(item->statistic[k].q >= 0 && item->statistic[k].q < 1))
				abort();
	}
	for (size_t i = 0; i < t->n_where; i++)
		if (!t->where[i].key || !t->where[i].values || !t->where[i].origin)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = { 0 };
	struct template t;
	if (!xsd)
		xsd = file_read(TEST_SRCDIR "/templates/bifocal-template.xsd", TEMPLATE_BYTES, &xsd_len, &err);
	if (!xsd)
		abort();
	if (template_parse(&t, "fuzz.xml", data, size, xsd, xsd_len, &err) == 0)
		check(&t);
	else if (err.code == ERR_NONE || !*err.text)
		abort();
	template_fini(&t);
	return 0;
}
