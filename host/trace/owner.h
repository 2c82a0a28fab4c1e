/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose a thing in the kernel is, by its name: "bifocal-PID-START-WHAT", "bifocal_PID_START" (see tracefs.h). */
#ifndef BIFOCAL_HOST_TRACE_OWNER_H
#define BIFOCAL_HOST_TRACE_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#define OWNER_INSTANCE_PREFIX "bifocal-"
#define OWNER_GROUP_PREFIX "bifocal_"

enum { OWNER_TEXT_MAX = 48 };

struct owner {
	uint32_t pid;
	uint64_t start;                /* clock ticks since boot */
};

/* "PID-START" of this process, with `between` between the two. Returns dst. */
char *owner_text(char between, char dst[OWNER_TEXT_MAX]);
/* Reads what stands behind `prefix`; false when `name` is not of this kind. Anything may follow. */
bool owner_parse(const char *name, const char *prefix, char between, struct owner *out);
/* Whether the very process that made it lives in this PID namespace. */
bool owner_lives(const struct owner *o);

#endif
