/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's trace events and the sightings they are: one table for all of its trace backends (log, simple, USDT).
 *
 * An event has arguments in a fixed order, the same for each backend; the log prints them by a format of its own. A row names
 * both. Where releases differ in name, format or arguments, each form has a row; a row that a QEMU does not know never
 * fires. Facts: 7.2's formats were read from Debian's binary and checked against real logs, those of 8 to 10 come from
 * QEMU's trace-events files and its mailing list; what was renamed:
 *   8.2   virtio_notify_irqfd is put off inside a batch; virtio_notify_irqfd_deferred_fn then is the interrupt itself
 *   10.0  thread_pool_submit, thread_pool_complete: …_aio
 *   10.2  luring_co_submit loses its second argument, luring_process_completion becomes luring_cqe_handler
 *
 * `roles` has one letter an argument:
 *   -  nothing                               k  key                       t  key, its low 32 bits
 *   d  an object of QEMU's: `device` is its number, from 1 in order of appearance (0: too many)
 *   D  `device` as it is                     s  sector of 512 bytes       e  the last sector, inclusive
 *   n  sectors of 512 bytes                  o  byte offset               b  bytes
 *   l  block address, c: count of its blocks (their size follows from b)
 *   L  `length` as it is                     z  text that says the operation
 *   a  QEMU's AIO type                       w  1: a write                 C  SCSI opcode
 *   N  NVMe opcode                           A  ATA NCQ opcode
 *   =  must be `match`                       &  must share a bit with `match`; else the event is of no interest
 */
#ifndef BIFOCAL_HOST_TRACE_QEMU_EVENTS_H
#define BIFOCAL_HOST_TRACE_QEMU_EVENTS_H

#include <stdbool.h>

#include "common/sight.h"

enum {
	QEMU_ARGS_MAX = 8,
	QEMU_DEVICES_MAX = 256,    /* objects told apart; a guest has a few disks and ports */
	QEMU_NAME_MAX = 64,
};

struct qemu_event {
	const char *name;
	const char *format;        /* of the log's text behind the name and one blank: %p %d %u %x %s, each one argument */
	const char *roles;
	uint16_t kind;             /* enum sight_kind */
	uint8_t op;                /* enum io_op or SIGHT_OP_NONE, where no argument says it */
	uint32_t match;
	const char *unless;        /* where QEMU has this event too, that one counts and this row is dropped; or NULL */
};

extern const struct qemu_event qemu_events[];
extern const size_t qemu_events_count;

struct qemu_arg {
	uint64_t number;           /* negative ones sign-extended */
	const char *text;          /* of a %s; not terminated; NULL: not fetched */
	size_t length;
};

/* What has to be remembered between events. Zeroed is new; one for each QEMU and window. */
struct qemu_events_state {
	uint64_t device[QEMU_DEVICES_MAX];
	uint32_t devices;
	struct { uint64_t cid; uint32_t thread, queue; } nvme;
	bool dropped[QEMU_DEVICES_MAX];   /* rows that another replaces, by index */
};

/* The row's index; its number of arguments. */
size_t qemu_event_index(const struct qemu_event *e);
size_t qemu_event_args(const struct qemu_event *e);
/* The first row at or after index `from` with that name; qemu_events_count when there is none. For setting up, not for parsing. */
size_t qemu_event_find(const char *name, size_t length, size_t from);
/* Drops rows that others replace: `has` says whether this QEMU knows an event. */
void qemu_events_known(struct qemu_events_state *st, bool (*has)(void *ctx, const char *name), void *ctx);
/* An event with the row's number of arguments as a sighting. False when it is of no interest; anything may stand in `args`. */
bool qemu_event_sighting(struct qemu_events_state *st, const struct qemu_event *e, const struct qemu_arg *args, uint64_t time, uint32_t thread,
			 struct sighting *out);

#endif
