/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A scaled TSC: guest = ((host × ratio) >> frac) + offset, modulo 2^64, as the CPU computes it (Intel SDM vol. 3, "TSC
 * scaling": 48 fractional bits; AMD APM vol. 2, "TSC ratio MSR": 32). The product has 128 bits. Without scaling
 * ratio = 1 << frac, and { 0, 0, offset } stands for that too.
 */
#ifndef BIFOCAL_COMMON_TSCMAP_H
#define BIFOCAL_COMMON_TSCMAP_H

#include <stdbool.h>

#include "common/error.h"
#include "common/tsc.h"

struct tsc_scale {
	uint64_t ratio;        /* 0: not scaled */
	uint8_t frac;          /* fractional bits of ratio, 0 … 63 */
};

/* Host cycles in guest cycles, before the offset: (host × ratio) >> frac, modulo 2^64. */
uint64_t tsc_scale_up(struct tsc_scale s, uint64_t host);
/* The guest's stamp at a host's, exactly as the hardware gives it. */
struct guest_tsc tsc_to_guest(struct tsc_scale s, int64_t offset, struct host_tsc host);
/* The smallest host stamp h at which the guest's clock shows `guest` or more: h = ceil(((guest − offset) << frac) / ratio),
 * taking guest − offset as a number below 2^64. With ratios above one, some guest values are shown at no host cycle. */
struct host_tsc tsc_to_host(struct tsc_scale s, int64_t offset, struct guest_tsc guest);
/* ratio / 2^frac. */
double tsc_scale_ratio(struct tsc_scale s);
/* frac <= 63 and a ratio between 1/16 and 16: what hardware and reason allow. False with err. */
bool tsc_scale_valid(struct tsc_scale s, struct error *err);

#endif
