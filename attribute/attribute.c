// SPDX-License-Identifier: GPL-2.0-or-later
/* The stored result, or one made afresh. */
#include "attribute/attribute.h"

enum { RESULT_BYTES_MAX = 4 << 20 };     /* the largest result packs into some 200 KiB */

int attribution_get(struct store *s, uint64_t run, struct attribution *out, struct error *err)
{
	struct wbuf packed;
	wbuf_heap(&packed, RESULT_BYTES_MAX);
	int found = store_result(s, run, &packed, err);
	if (found > 0) {
		struct error why = { 0 };
		found = attribution_unpack((struct span){ packed.p, packed.len }, out, &why) == 0 ? 1 : why.code == ERR_VERSION ? 0 : -1;
		if (found < 0 && err)
			*err = why;
	}
	wbuf_fini(&packed);
	if (found < 0)
		return error_prefix(err, "run %llu", (unsigned long long)run);
	return found ? 0 : attribute_run(s, run, NULL, NULL, out, err);
}
