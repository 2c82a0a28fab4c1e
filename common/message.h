/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Typed messages, generated from message_table.h. */
#ifndef BIFOCAL_COMMON_MESSAGE_H
#define BIFOCAL_COMMON_MESSAGE_H

#include "common/bytes.h"
#include "common/error.h"
#include "common/message_table.h"

struct id16 {
	uint8_t b[16];
};

enum msg_type {
#define MSG(number, NAME, name, direction, delivery, since, text) MSG_##NAME = number,
	MSG_TABLE(MSG)
#undef MSG
};

/* What run_prepare asks of the guest's kernel: nothing; the cheapest that it has; ftrace's ring buffer. */
enum trace_wish { TRACE_WISH_OFF = 0, TRACE_WISH_ANY = 1, TRACE_WISH_TRACEFS = 2 };
enum probe_state { PROBE_LOADED = 0, PROBE_SKIPPED = 1, PROBE_QUARANTINED = 2 };

typedef struct span msg_str_t;
typedef struct span msg_blob_t;
typedef struct id16 msg_id16_t;
typedef uint8_t msg_u8_t;
typedef uint16_t msg_u16_t;
typedef uint32_t msg_u32_t;
typedef uint64_t msg_u64_t;
typedef int32_t msg_i32_t;
typedef int64_t msg_i64_t;
typedef double msg_f64_t;

/* struct msg_hello { uint32_t protocol; struct span version; … }; an empty
 * message has one unused byte, since C has no empty struct. */
#define MSG_FIELD(type, name, text) msg_##type##_t name;
#define MSG(number, NAME, name, direction, delivery, since, text) \
	struct msg_##name { MSG_##NAME##_FIELDS(MSG_FIELD) char unused_; };
MSG_TABLE(MSG)
#undef MSG
#undef MSG_FIELD

/* void msg_hello_encode(struct wbuf *, const struct msg_hello *): sticky error in the
 * writer. int msg_hello_decode(struct span payload, struct msg_hello *, struct error *):
 * 0, or -1 when the payload is short, long or malformed; spans borrow from `payload`. */
#define MSG(number, NAME, name, direction, delivery, since, text) \
	void msg_##name##_encode(struct wbuf *w, const struct msg_##name *m); \
	int msg_##name##_decode(struct span payload, struct msg_##name *m, struct error *err);
MSG_TABLE(MSG)
#undef MSG

enum msg_direction { MSG_DIR_both, MSG_DIR_h2g, MSG_DIR_g2h };

struct msg_info {
	uint16_t type;
	const char *name;
	enum msg_direction direction;
	bool reliable;
	unsigned since;
	const char *text;
};

/* NULL for a number that the table does not have. */
const struct msg_info *msg_info(uint16_t type);
/* "hello", or "message 99". Static or thread-local text; copy it to keep it. */
const char *msg_name(uint16_t type);

/* A literal or a C string as a field. */
struct span span_of(const char *s);

#endif
