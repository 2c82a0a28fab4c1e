/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What --json prints with. */
#ifndef BIFOCAL_HOST_JSON_H
#define BIFOCAL_HOST_JSON_H

#include <jansson.h>

#include "host/run/summary.h"

/* Prints one object and a newline to stdout, and drops it. */
void json_print(json_t *object);
/* "a=1 b=c" → {"a": "1", "b": "c"} */
json_t *json_assignments(const char *text);
/* Nanoseconds, or null where n is too small for the quantile. */
json_t *json_quantile(const struct summary *sum, const struct dist *d, double q);

#endif
