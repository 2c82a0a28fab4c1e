/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Child processes that do not outlive us: PR_SET_PDEATHSIG, a process group of their own (a terminal's
 * SIGINT is for the collector, which then ends them in order), nothing inherited but three descriptors.
 *
 * PR_SET_PDEATHSIG follows the thread that forked: start children from a thread that lives as long as the process.
 */
#ifndef BIFOCAL_HOST_VM_PROCESS_H
#define BIFOCAL_HOST_VM_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"

struct process {
	pid_t pid;          /* 0: never started, or already reaped */
	bool ended;
	int status;         /* of waitpid(2), once ended */
};

/* argv[0] is a path or a name in PATH. stdout and stderr are appended to `log`. A failing exec is reported here. */
int process_start(struct process *p, char *const argv[], const char *log, struct error *err);
/* Reaps without waiting. True while it runs. */
bool process_running(struct process *p);
/* Waits at most `ms`. True when it has ended. */
bool process_wait(struct process *p, int ms);
/* SIGKILL and reap; any state is fine. */
void process_kill(struct process *p);
/* "exit 1", "signal 9 (KILL)", "running". */
char *process_how(const struct process *p, char *dst, size_t cap);

/* Runs argv, gathers up to cap-1 bytes of its stdout (NUL-terminated; more is an error), kills it after `ms`. stderr follows stdout
 * into `out`. Returns the exit status 0..255, or -1 with err: ERR_NOT_FOUND when there is no such program. */
int process_capture(char *const argv[], char *out, size_t cap, int ms, struct error *err);

/* The last `lines` lines among the last 64 KiB of a file, control bytes made harmless, no newline at the end. "" when there is nothing. */
char *file_tail(const char *path, int lines, char *dst, size_t cap);

#endif
