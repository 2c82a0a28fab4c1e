/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A type (two bytes) and a payload: what decodes encodes back to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "common/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MSG(number, NAME, name, direction, delivery, since, text) \
	static void try_##name(struct span payload, struct wbuf *w) \
	{ \
		struct msg_##name m; \
		struct error err; \
		if (msg_##name##_decode(payload, &m, &err) < 0) \
			return; \
		msg_##name##_encode(w, &m); \
		if (w->bad || w->len != payload.len || (w->len && memcmp(w->p, payload.p, w->len) != 0)) \
			abort(); \
	}
MSG_TABLE(MSG)
#undef MSG

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rbuf r;
	rbuf_init(&r, data, size);
	uint16_t type = get_u16(&r);
	struct span payload = get_bytes(&r, rbuf_left(&r));
	struct wbuf w;
	wbuf_heap(&w, 1 << 22);
	switch (type) {
#define MSG(number, NAME, name, direction, delivery, since, text) case number: try_##name(payload, &w); break;
	MSG_TABLE(MSG)
#undef MSG
	}
	wbuf_fini(&w);
	return 0;
}
