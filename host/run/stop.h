/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SIGINT and SIGTERM end a run in order: VM removed, run stored as what it is. The handlers only take note;
 * every wait of a run asks. Handlers, not a blocked mask, since QEMU would inherit the mask.
 */
#ifndef BIFOCAL_HOST_RUN_STOP_H
#define BIFOCAL_HOST_RUN_STOP_H

#include <stdbool.h>

#include "common/error.h"

void stop_watch(void);
/* The signal that came, 0 if none. */
int stop_signal(void);
/* -1 with ERR_INTERRUPTED when one came. */
int stop_check(struct error *err);

#endif
