/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files a probe may read: what lies under /proc and /sys, beneath an optional made-up root. Paths are absolute, without "."
 * and ".."; links that lead out of the tree, such as /proc/self/root, are not followed (openat2 with
 * RESOLVE_BENEATH; before Linux 5.6 refused by name alone), nor are memory images and environments opened.
 *
 * No call here raises a Lua error, so that no descriptor can leak. Buffers are kept from call to call.
 */
#ifndef BIFOCAL_LUA_FILES_H
#define BIFOCAL_LUA_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

enum {
	FILES_PATH_MAX = 512,
	FILES_FOUND_MAX = 4096,        /* paths that a glob gives: threads of a large VM, CPUs times some */
	FILES_SCAN_MAX = 65536,        /* directory entries that a glob looks at */
	FILES_DEPTH_MAX = 16,
};

struct files {
	char root[256];
	char *buf;                     /* the last file read */
	size_t len, cap;
	char **found;                  /* the last glob's paths, sorted */
	size_t n_found, cap_found;
	size_t scanned;
};

/* -1 if root is too long. */
int files_init(struct files *f, const char *root, struct error *err);
void files_fini(struct files *f);
/* Reads a whole file of at most `max` bytes into f->buf, f->len; over that is an error (ERR_LIMIT). */
int files_read(struct files *f, const char *path, size_t max, struct error *err);
int files_exists(struct files *f, const char *path, struct error *err);
/* Fills f->found; f->scanned says how much was looked at. No match is no error. */
int files_glob(struct files *f, const char *pattern, struct error *err);

#endif
