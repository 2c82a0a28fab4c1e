/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Probe samples: (series, time, value), and how a batch is packed:
 * version u8 (1), count varint, then columns: series as varints, TSC as svarint of the change,
 * value as f64. Series numbers are given meaning by MSG_SERIES or the store's series table.
 */
#ifndef BIFOCAL_COMMON_SAMPLES_H
#define BIFOCAL_COMMON_SAMPLES_H

#include "common/bytes.h"
#include "common/error.h"

struct sample {
	uint32_t series;
	uint64_t tsc;         /* of the side that took it */
	double value;         /* never NaN */
};

enum { SAMPLES_CHUNK = 4096 };

void samples_pack(struct wbuf *w, const struct sample *s, size_t n);
/* Returns how many, or -1 with err. NaN is refused. */
int samples_unpack(struct span packed, struct sample *out, size_t cap, struct error *err);

#endif
