/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guest is: the answer to GREET. */
#ifndef BIFOCAL_GUEST_GREET_H
#define BIFOCAL_GUEST_GREET_H

#include "common/channel.h"
#include "common/tsc.h"

struct greet {
	const char *root;
	struct id16 boot_id;
	struct tsc_anchor start;      /* taken when the agent started */
	uint64_t uptime_ns;           /* CLOCK_BOOTTIME then */
};

/* Takes the anchor: first thing at start. */
void greet_init(struct greet *g, const char *root);
/* Reads the boot id, once /proc is there. */
void greet_boot_id(struct greet *g);
/* TSC frequency over all the time since the start; 0 in the first millisecond. */
uint64_t greet_tsc_hz(const struct greet *g);
/* HELLO; `ports` names those found, blank-separated. */
int greet_hello(const struct greet *g, const char *ports, struct channel *ch, struct error *err);
/* A DISK each and HELLO_END. */
int greet_disks(const struct greet *g, struct channel *ch, struct error *err);

#endif
