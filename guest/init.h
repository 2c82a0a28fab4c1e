/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What PID 1 owes the kernel, and nobody else does here: file systems, a console, an end. */
#ifndef BIFOCAL_GUEST_INIT_H
#define BIFOCAL_GUEST_INIT_H

#include "common/error.h"

/* Mounts /proc /sys /dev /tmp, tracefs and debugfs; opens descriptors 0–2; children of others are reaped by the
 * kernel. The first failure is named in `err`, and the rest goes on. */
void init_setup(struct error *err);
/* sync, then off. A kernel that cannot power off leaves us waiting: PID 1 must not end. */
_Noreturn void init_poweroff(void);

#endif
