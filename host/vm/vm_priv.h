/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vm.c and move.c share, and nobody else. */
#ifndef BIFOCAL_HOST_VM_VM_PRIV_H
#define BIFOCAL_HOST_VM_VM_PRIV_H

#include "host/vm/process.h"
#include "host/vm/qmp.h"
#include "host/vm/rundir.h"
#include "host/vm/threads.h"
#include "host/vm/vm.h"

/* One QEMU. */
struct machine {
	struct vm_paths paths;
	struct process process;
	struct qmp *qmp;
	struct vm_thread_table threads;
	char *command_line;
};

struct vm {
	const struct config *config;
	bool kvm;
	struct qemu_info qemu;
	struct rundir rundir;
	/* Every one there was: those that gave their guest away have ended, their files are there until the run is over. */
	struct machine *machine[VM_MACHINES_MAX];
	unsigned machines;
	struct machine *now, *spare;   /* who has the guest; who is to take it over, or NULL */
	bool aim_at_spare;
};

void machine_name_files(struct machine *m, const char *dir, unsigned number);
int machine_start(struct vm *v, struct machine *m, struct error *err);
/* Connects its QMP and learns its threads. */
int machine_greet(struct machine *m, int ms, struct error *err);
/* As vm_alive(). */
int machine_alive(struct machine *m, struct error *how);
/* Kills it if it lives. NULL is fine; its files stay. */
void machine_free(struct machine *m);

#endif
