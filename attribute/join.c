// SPDX-License-Identifier: GPL-2.0-or-later
#include "attribute/attribute.h"

/* The join is being built. */
int attribute_run(struct store *s, uint64_t run, attribute_fn *each, void *ctx, struct attribution *out, struct error *err)
{
	(void)s, (void)run, (void)each, (void)ctx, (void)out;
	return error_set(err, ERR_FAILED, "attribution is not built yet");
}
