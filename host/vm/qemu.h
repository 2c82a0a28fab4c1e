/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's binary and its versions: what vm/ needs to know of them besides vm.h. */
#ifndef BIFOCAL_HOST_VM_QEMU_H
#define BIFOCAL_HOST_VM_QEMU_H

#include "host/vm/vm.h"

/* The oldest release whose options we know (DESIGN.md: 7 to 10). Newer ones are taken as they come. */
enum { QEMU_OLDEST = 7 };

/* A name with a slash as it is, else searched in PATH. -1 when there is no such executable. */
int program_find(const char *name, char *out, size_t cap);
/* Fills version, major and minor from the text of `-version`; -1 when it is not QEMU's. */
int qemu_parse_version(const char *text, struct qemu_info *out);

/* What differs among the releases we drive; the one table is in qemu_args.c. */
enum qemu_feature {
	QF_NO_HPET_OPTION,
	QF_HPET_PROPERTY,
};
bool qemu_has(const struct qemu_info *q, enum qemu_feature f);

#endif
