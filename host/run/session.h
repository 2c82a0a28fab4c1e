/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One conversation with one agent, step by step; each step sends, then pumps the loop until what it waits for has come.
 *
 * Every wait is bounded, and ends early with an error when a signal came (ERR_INTERRUPTED), the agent refused
 * (its own code and words), the guest vanished (ERR_FAILED, session_lost() is true then) or the store failed.
 */
#ifndef BIFOCAL_HOST_RUN_SESSION_H
#define BIFOCAL_HOST_RUN_SESSION_H

#include "host/clock/clock.h"
#include "host/link.h"
#include "host/run/intake.h"
#include "host/run/probes.h"
#include "host/vm/vm.h"

enum { GUEST_DISKS_MAX = 64, GUEST_TEXT_MAX = 256 };

/* HELLO and DISK, copied and made printable. */
struct guest_disk {
	char name[64], serial[64], driver[64], scheduler[64];
	uint64_t size;
	uint32_t logical_block, physical_block, queues;
	bool writable;
};

struct guest {
	uint32_t protocol, cpus;
	char version[64], kernel[GUEST_TEXT_MAX], tsc_flags[GUEST_TEXT_MAX], clocksource[GUEST_TEXT_MAX];
	char tracing[GUEST_TEXT_MAX], ports[GUEST_TEXT_MAX];
	struct id16 boot_id, instance;
	uint64_t memory, tsc_hz, uptime_ns;
	struct guest_disk disk[GUEST_DISKS_MAX];
	size_t disks;
};

struct session;

/* Connects to the sockets; `vm` may be NULL (somebody else's guest). Arguments outlive the session. */
struct session *session_new(struct store *store, struct vm *vm, const char *control, const char *data, struct error *err);
void session_free(struct session *s);

/* Waits for the agent, greets it, and checks that it is of this version. */
int session_greet(struct session *s, uint64_t timeout_ns, struct error *err);
const struct guest *session_guest(const struct session *s);
/* Waits until what an earlier collector left behind has come, as long as it keeps coming. */
int session_take_late(struct session *s, struct error *err);
/* The session's data belong to `run` from here on. */
void session_begin(struct session *s, uint64_t run);
/* Four-stamp exchanges: at least CLOCK_ROUNDS_MIN, more while they still narrow the bound. */
enum { CLOCK_ROUNDS_MIN = 64, CLOCK_ROUNDS_MAX = 512 };
int session_clock(struct session *s, struct error *err);
const struct clock_track *session_clock_track(const struct session *s);
/* Epochs that an exchange opened, without a word from QEMU: the clocks did not run alike. */
unsigned session_jumps(const struct session *s);
/* The guest's TSC against the host's, as KVM tells it; not scaled where it does not tell. */
struct tsc_scale session_scale(const struct session *s);
/* A command that stops the guest or takes it back goes to QEMU next: the epoch ends here. `what` is an enum vm_mark. */
void session_break(struct session *s, int what);
/* What session_break() announced did not come to pass: a new epoch begins now. Nothing when QEMU has told more since. */
void session_renew(struct session *s);
/* The guest is to move to another QEMU, whose sockets these are: connects to them. */
int session_move_prepare(struct session *s, const char *control, const char *data, struct error *err);
/* It runs there: the link and the clock's methods follow. `moved` false: it stays where it is. */
void session_move(struct session *s, bool moved);
/* Takes what QEMU has said; the loop's turns do so by themselves. */
void session_heed(struct session *s);
/* No burst of exchanges is under way: the epoch after the last break has its bound. */
bool session_settled(const struct session *s);
/* Calls `fn` for every event of QEMU's, after the session has heeded it. NULL: nobody. */
void session_on_event(struct session *s, void (*fn)(void *ctx, const struct vm_event *e), void *ctx);
int session_probes(struct session *s, const struct plugins *set, struct error *err);

struct session_prepare {
	const char *workload, *disk;
	bool destructive;
	uint64_t seed, tsc_hz;
	uint8_t trace;                 /* enum trace_wish: see requests in the guest's kernel, in at most trace_memory bytes; 0: the agent computes it */
	uint64_t trace_memory;
};
struct session_ready {
	char disk[64];
	uint64_t capacity, memory;
	uint32_t device;               /* major << 20 | minor; 0: not known */
	uint64_t trace_bytes;          /* of trace buffer per CPU; 0: nothing is traced */
	bool trace_live;               /* the buffers are drained inside the window */
	char trace_source[320];        /* as the guest says it: "bpf", "tracefs (bpf: why not)" */
};
int session_prepare(struct session *s, const struct session_prepare *p, struct session_ready *ready, struct error *err);
/* Opens the window and waits for its end, calling tick(ctx, ns since the start) ten times a second. A signal or the `limit_ns`
 * (0: none) sends RUN_ABORT, after which the records that there are still come. */
int session_window(struct session *s, uint64_t limit_ns, void (*tick)(void *ctx, uint64_t ns), void *ctx, struct error *err);
/* Waits for RUN_DRAINED, as long as data keep coming; then commits. */
int session_drain(struct session *s, void (*tick)(void *ctx, uint64_t ns), void *ctx, struct error *err);
/* Asks the agent to power off; does not wait for it. */
void session_poweroff(struct session *s);

struct intake *session_intake(struct session *s);
struct loop *session_loop(struct session *s);
bool session_lost(const struct session *s);
/* QEMU's pid, 0 where it cannot be told. */
pid_t session_vmm_pid(const struct session *s);
/* Who the guest is (attributes prov.guest.*). Before the window, so that a later collector finds whose run it was. */
int session_store_guest(struct session *s, uint64_t run, struct error *err);
/* Clock samples and epochs, the disk used, probes' answers, the ports' statistics, as they are by now; may be called again. */
int session_store(struct session *s, uint64_t run, struct error *err);
/* When all streams of the run are committed: tier `sandwich` over them, into the batch; narrows the epochs. Nothing where there is no KVM. */
int session_sandwich(struct session *s, uint64_t run, struct error *err);
/* Guest halves that were quarantined. */
unsigned session_quarantined(const struct session *s);

#endif
