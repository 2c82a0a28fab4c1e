/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vantages of this side: what sees requests in the VMM and in the host's kernel. Each source is a plug-in, one file:
 *
 *   vmm_log.c      QEMU's `log` trace backend             vantage vmm
 *   vmm_simple.c   QEMU's `simple` backend's binary file  vantage vmm
 *   vmm_usdt.c     QEMU's USDT probes through uprobes     vantage vmm
 *   host_kernel.c  tracefs                                vantage host.kernel
 *
 * A source that cannot see here says why and with what remedy; its phases merge, nothing fails. Attributes that are left:
 *   vantage.{guest,vmm,host}     the source ("tracefs", "log", …) or "absent: reason"
 *   absent.SIGHTING              "g_kick": reason, for a single sighting that a vantage which is there cannot have
 *   trace.guest.device           the disk in the guest, major << 20 | minor
 *   trace.host.device            the disk under the scratch file likewise; absent where there is none
 *   trace.host.fds               descriptors of the scratch file in QEMU, comma-separated
 *   trace.live                   1: a buffer was drained inside the window
 */
#ifndef BIFOCAL_HOST_TRACE_VANTAGE_H
#define BIFOCAL_HOST_TRACE_VANTAGE_H

#include <sys/types.h>

#include "host/config.h"
#include "host/run/loss.h"
#include "host/vm/vm.h"
#include "store/store.h"

struct trace_target {
	const struct config *config;
	struct vm *vm;                 /* NULL: somebody else's guest */
	pid_t pid;                     /* QEMU's; 0 where it is not known */
	const char *scratch;           /* path of the scratch file, NULL if there is none or it is not known */
	uint64_t window_ns;            /* planned length, 0: open-ended */
	uint64_t ios;                  /* I/Os to expect in it, at most; 0: nobody knows */
	unsigned moves;                /* the guest had migrated so often when its QEMU was started: its streams' place among the VMM's */
};

enum { TRACE_WHY_MAX = 256 };

struct vantage_source {
	const char *name;              /* "log": what vantage.* says */
	enum vantage vantage;
	/* NULL when it cannot see here; `why` says so, with the remedy. Nothing is traced yet. `t` outlives it. */
	void *(*open)(const struct trace_target *t, char why[TRACE_WHY_MAX]);
	/* Just before the window opens; -1 makes the vantage absent, with err for the reason. */
	int (*start)(void *self, struct error *err);
	/* Ten times a second in the window: clock anchors, bounds on logs, buffers that fill up. Cheap. */
	void (*tick)(void *self);
	/* The window is over: nothing is traced any more. */
	void (*stop)(void *self);
	/* After stop(): streams, sightings and attributes into the batch, committed whenever it is large. Losses are added up. */
	int (*store)(void *self, struct store_batch *b, uint64_t run, struct loss *loss, struct error *err);
	bool again;
	int (*follow)(void *self, pid_t pid, struct error *err);
	void (*free)(void *self);      /* NULL is fine; nothing of it stays enabled in the kernel or on disk */
};

/* A QEMU that a guest migrates to is seen by a source of its own if `again`, else follow(pid) takes it in; without either the vantage ends. */
extern const struct vantage_source vmm_log, vmm_simple, vmm_usdt, host_kernel;

struct vantages;

/* All that the configuration asks for and this node offers. Never NULL but without memory. */
struct vantages *vantages_open(const struct trace_target *t, struct error *err);
void vantages_free(struct vantages *v);
void vantages_start(struct vantages *v);
void vantages_tick(struct vantages *v);
void vantages_stop(struct vantages *v);
int vantages_store(struct vantages *v, struct store_batch *b, uint64_t run, struct loss *loss, struct error *err);

/* A guest migrates. follow(): t is about the QEMU that is to take it over, and so is t->vm's QMP now (vm_aim); it does not run there yet. moved(): it runs
 * there, or (false) it stays; the QMP is the old one's. What does not follow is named (absent.after.N.*), counted, and ends with the old QEMU. */
void vantages_follow(struct vantages *v, const struct trace_target *t);
void vantages_moved(struct vantages *v, bool moved);
/* At the collector's start: what a dead one left in the kernel (instances, probes) is removed. Returns how many. */
int trace_sweep(void);

#endif
