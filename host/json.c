/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/json.h"

#include <stdio.h>
#include <string.h>

void json_print(json_t *object)
{
	json_dumpf(object, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(object);
}

json_t *json_assignments(const char *text)
{
	json_t *o = json_object();
	for (const char *p = text; *p;) {
		size_t len = strcspn(p, " "), key = strcspn(p, "=");
		char name[128];
		if (key < len) {
			snprintf(name, sizeof(name), "%.*s", (int)key, p);
			json_object_set_new(o, name, json_stringn(p + key + 1, len - key - 1));
		}
		p += len + (p[len] == ' ');
	}
	return o;
}

json_t *json_quantile(const struct summary *sum, const struct dist *d, double q)
{
	if (!quantile_supported(d->n, q))
		return json_null();
	return json_real(summary_ns(sum, (double)dist_quantile(d, q)));
}
