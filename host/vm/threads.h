/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's threads by role. vCPUs and I/O threads are asked of QEMU once, at the start: they stay, and a question inside a run's window
 * would wake QEMU's main loop. Workers come and go: /proc shows them.
 */
#ifndef BIFOCAL_HOST_VM_THREADS_H
#define BIFOCAL_HOST_VM_THREADS_H

#include <sys/types.h>

#include "host/vm/qmp.h"
#include "host/vm/vm.h"

enum { THREAD_NAME_MAX = 16 };     /* the kernel's TASK_COMM_LEN */

struct vm_thread_table {
	pid_t pid;
	struct { int tid; const char *role; int index; } known[VM_THREADS_MAX];
	size_t n_known;
	char name[VM_THREADS_MAX][THREAD_NAME_MAX];   /* what threads_list() points to, until it is called again */
};

int threads_learn(struct vm_thread_table *t, pid_t pid, struct qmp *q, struct error *err);
/* Roles: vcpu, iothread, worker, main. QEMU's housekeepers (call_rcu, the monitor's thread) count as main, so that roles sum to the process. */
size_t threads_list(struct vm_thread_table *t, struct probe_thread *out, size_t cap);

#endif
