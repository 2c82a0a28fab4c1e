/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints the part of docs/protocol.md that comes from the headers: limits, messages, fields. */
#include <stdio.h>

#include "common/channel.h"

static void print_limits(void)
{
	printf("| limit | value |\n|---|---|\n"
	       "| protocol version | %d |\n| frame version | %d |\n| frame header | %d bytes |\n"
	       "| frame, header included | at most %d bytes |\n| message, reliable | at most %d bytes |\n"
	       "| `SYNC` repeated, `channel_tick()` called | every %d ms at first |\n\n",
	       PROTOCOL_VERSION, FRAME_VERSION, FRAME_HEADER, FRAME_MAX, (int)CHANNEL_MESSAGE_MAX, (int)CHANNEL_TICK_MS);
	printf("| frame flag | value | on |\n|---|---|---|\n"
	       "| `MORE` | %d | a frame whose message goes on in the next frame |\n"
	       "| `REST` | %d | a frame that goes on with the message of the one before |\n"
	       "| `ASK` | %d | a `sync` that wants to be answered with one |\n"
	       "| `LOST` | %d | a `sync` whose sender misses what followed `have` |\n"
	       "| `XXH` | %d | a frame whose `data crc` is the low half of its payload's XXH64 |\n\n",
	       FRAME_MORE, FRAME_REST, FRAME_ASK, FRAME_LOST, FRAME_XXH);
}

static const char *way(enum msg_direction d)
{
	return d == MSG_DIR_both ? "both" : d == MSG_DIR_h2g ? "host → guest" : "guest → host";
}

static void print_message_row(const struct msg_info *m)
{
	printf("| %u | [`%s`](#%s) | %s | %s | %u | %s |\n", m->type, m->name, m->name, way(m->direction),
	       m->reliable ? "reliable" : "plain", m->since, m->text);
}

static void print_field(const char *type, const char *name, const char *text)
{
	printf("| `%s` | `%s` | %s |\n", name, type, text);
}

int main(void)
{
	print_limits();
	printf("### Messages\n\n| number | message | direction | delivery | since | |\n|---|---|---|---|---|---|\n");
#define MSG(number, NAME, name, direction, delivery, since, text) print_message_row(msg_info(number));
	MSG_TABLE(MSG)
#undef MSG
#define FIELD(type, name, text) fields++ ? (void)0 : (void)printf("| field | type | |\n|---|---|---|\n"); \
	print_field(#type, #name, text);
#define MSG(number, NAME, name, direction, delivery, since, text_) \
	{ \
		int fields = 0; \
		printf("\n#### " #name "\n\n%s.\n\n", msg_info(number)->text); \
		MSG_##NAME##_FIELDS(FIELD) \
		if (!fields) \
			puts("No fields."); \
	}
	MSG_TABLE(MSG)
#undef MSG
	return 0;
}
