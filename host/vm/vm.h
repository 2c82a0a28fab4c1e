/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtual machine from nothing to nothing: run directory, scratch disk, QEMU, QMP, threads by role, end.
 *
 * A run directory (0700, made by mkdtemp under $XDG_RUNTIME_DIR, $TMPDIR or /var/tmp: somewhere that O_DIRECT works for the scratch file)
 * holds sockets, the scratch file, serial.log and qemu.log. vm_free() kills QEMU if it
 * still lives, waits for it and removes the directory: no process and no file is left after success, failure, SIGINT or
 * SIGTERM. QEMU also carries PR_SET_PDEATHSIG, so that kill -9 of the collector ends it too; the directory
 * it leaves then is removed by the next vm_sweep().
 */
#ifndef BIFOCAL_HOST_VM_VM_H
#define BIFOCAL_HOST_VM_VM_H

#include <sys/types.h>

#include "host/config.h"
#include "lua/probe.h"

enum {
	VM_THREADS_MAX = 512,
	VM_ARGS_MAX = 160,
	VM_MACHINES_MAX = 33,                     /* a guest and the migrations it goes through in a run */
};

struct vm;

/* What was found out about the accelerator, and the words to say it in. */
struct accel_choice {
	bool kvm;
	char why[256];        /* "tcg: the CPU shows neither vmx nor svm, so /dev/kvm cannot run a kernel" */
};
/* vm.accel=kvm is taken at its word if /dev/kvm opens (else error); auto tests flags and ioctls. `remembered_failure`: an earlier boot
 * under KVM in this process never greeted, so auto must fall back. */
int accel_choose(const struct config *c, bool remembered_failure, struct accel_choice *out, struct error *err);

/* QEMU's version, features that follow from it: parsed from `-version`. ERR_NOT_FOUND with the package to install when there is no QEMU. */
struct qemu_info {
	char path[256];
	char version[64];     /* "7.2.22 (Debian …)" */
	unsigned major, minor;
};
int qemu_probe(const struct config *c, struct qemu_info *out, struct error *err);

/* Paths that the command line needs; all absolute. */
struct vm_paths {
	char dir[128];
	char control[160], data[160], qmp[160], serial_log[160], scratch[320], qemu_log[160];
	char trace_log[160], trace_file[160];     /* QEMU's trace: its log, its binary file (made when tracing starts) */
	char kernel[320], initrd[320], disk_image[320];
	char cmdline[1024];                       /* the image's kernel arguments; "" takes ours */
	char ovmf_code[160], ovmf_vars[160];      /* vm.boot=uefi; the variables are a copy in the run directory */
	char incoming[160];                       /* where this QEMU waits for a guest that migrates to it; "": it boots one */
};
/* The whole command line, allocated strings, NULL-terminated; pure function, so that tests can compare it for QEMU 7 to 10. */
int qemu_args(const struct config *c, const struct qemu_info *q, bool kvm, const struct vm_paths *p, char *argv[VM_ARGS_MAX], struct error *err);
void qemu_args_free(char *argv[]);

/* `c` outlives it. Makes the run directory and the scratch disk, starts QEMU, connects QMP (bounded waits throughout). NULL with err; nothing is left then. */
struct vm *vm_start(const struct config *c, const struct accel_choice *accel, struct error *err);
/* NULL is fine. Any thread of control, any state. */
void vm_free(struct vm *v);
/* Asks QEMU to end (QMP quit) and waits at most `ms`; then kills. 0 when it ended by itself with status 0. */
int vm_stop(struct vm *v, int ms, struct error *err);

/* It runs without hardware's help. */
bool vm_is_emulated(const struct vm *v);
pid_t vm_pid(const struct vm *v);
/* 1: running; 0: ended, with the reason in *how (may be NULL): "exit 1", "signal 9", and the last lines of its stderr. */
int vm_alive(struct vm *v, struct error *how);
const struct vm_paths *vm_paths(const struct vm *v);
const struct qemu_info *vm_qemu(const struct vm *v);
/* The command line as one shell-quoted line, for provenance. Lives with the vm. */
const char *vm_command_line(const struct vm *v);
/* Threads of QEMU by role: vCPUs from query-cpus-fast, I/O threads from query-iothreads, workers by name, main. Refreshes the list from /proc. */
size_t vm_threads(struct vm *v, struct probe_thread *out, size_t cap);
/* The last `lines` lines of the serial console, control bytes made harmless; "" when empty. */
char *vm_console_tail(const struct vm *v, int lines, char *dst, size_t cap);
/* One QMP command with optional JSON arguments text; result JSON text malloc'd (caller frees) if out is not NULL. Waits at most 5 s. */
int vm_qmp(struct vm *v, const char *command, const char *args_json, char **out, struct error *err);
/* Takes the oldest QMP event not yet taken: "STOP", "RESUME", "MIGRATION", "SHUTDOWN" …: what breaks a clock's epoch. Never waits; 0 when there is none. */
enum { VM_EVENT_MAX = 48 };
struct vm_event {
	char name[VM_EVENT_MAX];
	int64_t realtime_ns;           /* QEMU's CLOCK_REALTIME, in whole µs; 0: it did not say */
	char id[64], status[32];       /* of JOB_STATUS_CHANGE, the status of MIGRATION too; else "" */
	bool spare;                    /* said by the QEMU that is to take the guest over */
};
int vm_event_take(struct vm *v, struct vm_event *out);
/* Its name alone. */
int vm_event(struct vm *v, char name[VM_EVENT_MAX]);

/* ---- a live migration on this node: a second QEMU, the spare, with the same configuration and disk and with sockets of its own, takes the guest over ---- */

/* Starts it; it waits for the guest. ERR_NO_SPACE when the node's memory does not hold a second guest. */
int vm_spare_start(struct vm *v, struct error *err);
/* 1: it waits for the guest, its sockets and QMP are there; 0: not yet; -1 with err. Never waits long. */
int vm_spare_ready(struct vm *v, struct error *err);
/* Lets the migration begin. Its end is the event MIGRATION with status completed, failed or cancelled; then the spare's RESUME. */
int vm_spare_migrate(struct vm *v, struct error *err);
/* From here on it is the VM; the one that had the guest ends. */
void vm_spare_promote(struct vm *v);
/* It is killed, and no part of the disk is its own any more; it is still to be dropped. */
void vm_spare_end(struct vm *v);
/* It ends. Nothing without one. */
void vm_spare_drop(struct vm *v);
bool vm_has_spare(const struct vm *v);
/* The spare's paths; NULL without one. */
const struct vm_paths *vm_spare_paths(const struct vm *v);
/* vm_qmp(), vm_paths(), vm_pid() and vm_alive() are about the spare while `spare` holds. */
void vm_aim(struct vm *v, bool spare);

/* Removes run directories whose collector is dead. Returns how many. */
int vm_sweep(void);

#endif
