/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run directories: bifocal-XXXXXX, mode 0700, under $XDG_RUNTIME_DIR, $TMPDIR or /var/tmp.
 *
 * "pid" in it is locked with flock(2) as long as its collector lives, so a sweep can tell the dead ones; it is locked under
 * another name first and renamed then, so that it never stands there unlocked. "elsewhere" is a symbolic link to a scratch file
 * that disk.dir put outside.
 */
#ifndef BIFOCAL_HOST_VM_RUNDIR_H
#define BIFOCAL_HOST_VM_RUNDIR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define RUNDIR_PREFIX "bifocal-"
#define RUNDIR_ELSEWHERE "elsewhere"
#define SCRATCH_PREFIX "bifocal-scratch-"

enum {
	/* sockaddr_un holds 108 bytes with the NUL: the directory, a slash, and a socket's short name. */
	RUNDIR_PATH_MAX = 92,
	/* A directory without its pid file is somebody who is just starting, or died in that very moment. */
	RUNDIR_GRACE_S = 60,
};

struct rundir {
	char path[128];        /* "": none */
	int lock_fd;
};

/* What a place must offer when the scratch file goes there. */
struct rundir_need {
	bool disk;             /* the scratch file lives here: not in memory, and `bytes` free */
	bool direct;           /* O_DIRECT must work */
	uint64_t bytes;
};

int rundir_make(const struct rundir_need *need, struct rundir *out, struct error *err);
/* Removes everything in it, and what "elsewhere" points to; any state is fine. */
void rundir_remove(struct rundir *d);
int rundir_sweep(void);
/* Whether `dir` offers what is needed; the reason if not. Leaves nothing behind. */
int place_check(const char *dir, const struct rundir_need *need, struct error *err);

#endif
