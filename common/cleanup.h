/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Locals that clean up after themselves: `autofree char *s = strdup(t);` */
#ifndef BIFOCAL_COMMON_CLEANUP_H
#define BIFOCAL_COMMON_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *p) { free(*(void **)p); }
static inline void cleanup_fd(int *fd) { if (*fd >= 0) close(*fd); }
static inline void cleanup_file(FILE **f) { if (*f) fclose(*f); }

#define autofree __attribute__((cleanup(cleanup_free)))
#define autoclose __attribute__((cleanup(cleanup_fd)))
#define autofclose __attribute__((cleanup(cleanup_file)))

#endif
