/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records of the kernel's trace buffer, made sightings (common/sight.h). The same for a guest's pages and for the host's own.
 *
 * Where a field lies is looked up once, when its event is registered; a record costs loads and stores. By kind:
 *
 *     G_QUEUE … G_COMPLETE, G_MERGE, H_QUEUE, H_ISSUE, H_COMPLETE
 *                    a block event: device, sector, length = nr_sector × 512, op from rwbs (a flush has SIGHT_NO_PLACE; what is
 *                    no read, write, flush or discard has SIGHT_OP_NONE), key = errno of *_COMPLETE, 0 if it went well. The
 *                    completion of an empty write is dropped: it follows that of the flush proper, and has no issue
 *     G_SPLIT        block_split: length of the first part, key = sector where the rest starts
 *     G_KICK, G_IRQ  any event, mostly a kprobe: key = its field key or vq; 0 where it has none
 *     H_ENTER        syscalls:sys_enter_NAME of SIGHT_SYSCALLS: key = our number; device = fd; sector = pos / 512, length = count or
 *                    len where the call says them (a length it does not say is 0; without a position SIGHT_NO_PLACE)
 *     H_EXIT         syscalls:sys_exit_NAME: key = our number; length = the result where that is positive
 *     H_KVM_EXIT     kvm_exit: key = exit_reason         H_KVM_ENTRY   kvm_entry
 *     H_KVM_MMIO     kvm_fast_mmio, kvm_mmio: key = gpa; kvm_pio: key = port; reads are dropped: they are no notification
 *     H_KVM_INJECT   kvm_msi_set_irq: key = data; kvm_set_irq: key = gsi; a line that falls (level 0) is dropped
 *     H_TSC_WRITE    kvm_write_tsc_offset: key = next_tsc_offset
 *     H_WAKING       sched_waking: key = pid             H_SWITCH      sched_switch: key = next_pid
 *
 * thread is common_pid: who was running on the CPU, which in a completion is anybody.
 */
#ifndef BIFOCAL_HOST_TRACE_KERNEL_H
#define BIFOCAL_HOST_TRACE_KERNEL_H

#include "common/sight.h"
#include "host/trace/format.h"
#include "host/trace/pages.h"

enum {
	KERNEL_EVENTS_MAX = 128,       /* a guest has a dozen, the host three times as many */
	KERNEL_DEVICES_MAX = 16,       /* a disk, its partition, what a mapper puts it on */
	KERNEL_THREADS_MAX = 3072,     /* 255 vCPUs, and 64 workers for each of some AIO contexts */
};

struct kernel_counts {
	uint64_t records;              /* walked over */
	uint64_t unknown;              /* of events that are not registered */
	uint64_t dropped;              /* of other disks or threads, or of no interest (reads of a register) */
	uint64_t bad;                  /* too short for their format */
};

struct kernel_decoder;

struct kernel_decoder *kernel_decoder_new(struct error *err);
void kernel_decoder_free(struct kernel_decoder *d);
/* Takes records of event f->id for `kind`. Fails when f lacks what the kind needs, or the number is taken: ERR_PROTOCOL. */
int kernel_decoder_add(struct kernel_decoder *d, unsigned kind, const struct trace_format *f, struct error *err);
/* Drops block events of other devices (major << 20 | minor); may be called for several. A bio that came in through a partition
 * carries the partition's number, so name both. ERR_LIMIT. */
int kernel_decoder_only_device(struct kernel_decoder *d, uint32_t device, struct error *err);
/* Drops system calls, VM exits, entries and MMIO of other threads, and wake-ups of and switches to others. Block events and
 * injections stay: they happen in anybody's context. ERR_LIMIT. */
int kernel_decoder_only_thread(struct kernel_decoder *d, uint32_t tid, struct error *err);

/* Decodes what is left of a page that page_open() has opened, at most `cap` sightings. Returns how many; fewer than `cap` when the
 * page is done, and w->bad tells whether it was sound. Adds to *counts. */
size_t kernel_decode(const struct kernel_decoder *d, struct page_walk *w, struct sighting *out, size_t cap, struct kernel_counts *counts);

#endif
