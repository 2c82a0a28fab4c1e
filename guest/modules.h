/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel modules of the image; the list's format is at the top of modules.c. */
#ifndef BIFOCAL_GUEST_MODULES_H
#define BIFOCAL_GUEST_MODULES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

enum module_part { MODULES_PORTS, MODULES_REST, MODULES_CLOCK };

/* Loads one part of the list below `root`, in order. The first module that cannot be loaded is named in `err`, and the
 * rest goes on. Returns how many were loaded. */
int modules_load(const char *root, enum module_part part, struct error *err);

/* Whether a module with these glob patterns (blank-separated, may be "") is wanted: one matches the alias of a
 * PCI or virtio device present, or there are none. Exposed for tests. */
bool modules_wanted(const char *root, const char *globs);

/* MODULES_REST in a thread of its own, since loading a driver waits for its disks. */
struct module_loader;
struct module_loader *module_loader_start(const char *root);      /* NULL: no thread */
int module_loader_fd(const struct module_loader *l);              /* readable when done */
/* Waits for its end; `err` as of modules_load(). */
void module_loader_join(struct module_loader *l, struct error *err);

#endif
