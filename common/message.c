/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nothing here names a message or a field: all of it unfolds from message_table.h. */
#include "common/message.h"

#include <stdio.h>
#include <string.h>

/* One writer and one reader a field type; bytes.h has those of the numbers. */
#define write_u8 put_u8
#define write_u16 put_u16
#define write_u32 put_u32
#define write_u64 put_u64
#define write_i32 put_i32
#define write_i64 put_i64
#define write_f64 put_f64
#define read_u8 get_u8
#define read_u16 get_u16
#define read_u32 get_u32
#define read_u64 get_u64
#define read_i32 get_i32
#define read_i64 get_i64
#define read_f64 get_f64
#define read_blob get_blob

/* Text with a NUL inside would be one thing to us and another to a C string's reader. */
static bool has_nul(struct span s)
{
	return s.len && memchr(s.p, '\0', s.len);
}

static void write_str(struct wbuf *w, struct span v)
{
	if (has_nul(v))
		w->bad = true;
	put_str(w, (const char *)v.p, v.len);
}

static void write_blob(struct wbuf *w, struct span v)
{
	put_blob(w, v.p, v.len);
}

static void write_id16(struct wbuf *w, struct id16 v)
{
	put_bytes(w, v.b, sizeof(v.b));
}

static struct span read_str(struct rbuf *r)
{
	struct span s = get_str(r);
	if (has_nul(s))
		r->bad = true;
	return s;
}

static struct id16 read_id16(struct rbuf *r)
{
	struct id16 id = { { 0 } };
	struct span s = get_bytes(r, sizeof(id.b));
	if (s.len)
		memcpy(id.b, s.p, sizeof(id.b));
	return id;
}

static int close_decode(const struct rbuf *r, const char *name, size_t len, struct error *err)
{
	if (rbuf_done(r))
		return 0;
	if (r->bad)
		return error_set(err, ERR_PROTOCOL, "%s message of %zu bytes: a field is cut short or malformed; "
				 "both sides must be of the same version", name, len);
	return error_set(err, ERR_PROTOCOL, "%s message of %zu bytes: %zu bytes too many; "
			 "both sides must be of the same version", name, len, rbuf_left(r));
}

#define FIELD_WRITE(type, name, text) write_##type(w, m->name);
#define FIELD_READ(type, name, text) m->name = read_##type(&r);
#define MSG(number, NAME, name, direction, delivery, since, text) \
	void msg_##name##_encode(struct wbuf *w, const struct msg_##name *m) \
	{ \
		(void)w; \
		(void)m; \
		MSG_##NAME##_FIELDS(FIELD_WRITE) \
	} \
	int msg_##name##_decode(struct span payload, struct msg_##name *m, struct error *err) \
	{ \
		struct rbuf r; \
		rbuf_init(&r, payload.p, payload.len); \
		m->unused_ = 0; \
		MSG_##NAME##_FIELDS(FIELD_READ) \
		return close_decode(&r, #name, payload.len, err); \
	}
MSG_TABLE(MSG)
#undef MSG
#undef FIELD_READ
#undef FIELD_WRITE

enum { DELIVERY_plain = false, DELIVERY_reliable = true };

const struct msg_info *msg_info(uint16_t type)
{
#define MSG(number, NAME, name, direction, delivery, since, text) \
	case number: { \
		static const struct msg_info info = { number, #name, MSG_DIR_##direction, DELIVERY_##delivery, since, text }; \
		return &info; \
	}
	switch (type) {
	MSG_TABLE(MSG)
	default: return NULL;
	}
#undef MSG
}

const char *msg_name(uint16_t type)
{
	const struct msg_info *info = msg_info(type);
	if (info)
		return info->name;
	static _Thread_local char unknown[sizeof("message 65535")];
	snprintf(unknown, sizeof(unknown), "message %u", (unsigned)type);
	return unknown;
}

struct span span_of(const char *s)
{
	return (struct span){ (const uint8_t *)s, strlen(s) };
}
