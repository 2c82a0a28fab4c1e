/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes, cut in any way: the reader stays in its bounds, gives only frames that encode
 * back to what was read, and accounts for every byte. First byte: how long the pieces are. */
#include <stdlib.h>
#include <string.h>

#include "common/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	size_t piece = data[0] ? data[0] * (size_t)17 : SIZE_MAX, at = 1, given = 0;
	static struct frame_reader r;
	static uint8_t again[FRAME_MAX];
	frame_reader_init(&r);
	struct frame f;
	while (at < size) {
		size_t room;
		uint8_t *in = frame_reader_space(&r, &room);
		size_t n = size - at;
		n = n < room ? n : room;
		n = n < piece ? n : piece;
		memcpy(in, data + at, n);
		frame_reader_fed(&r, n);
		at += n;
		while (frame_reader_next(&r, &f)) {
			size_t len = frame_encode(again, &f);
			if (memcmp(again, f.payload.p - FRAME_HEADER, len) != 0)
				abort();
			given += len;
		}
	}
	if (given + r.skipped_bytes + frame_reader_pending(&r) != size - 1)
		abort();
	while (frame_reader_pending(&r)) {
		frame_reader_give_up(&r);
		while (frame_reader_next(&r, &f))
			;
	}
	return 0;
}
