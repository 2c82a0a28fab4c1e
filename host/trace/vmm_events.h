/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of our trace events a running QEMU has, and their switch: over QMP, the same for each of its trace backends. */
#ifndef BIFOCAL_HOST_TRACE_VMM_EVENTS_H
#define BIFOCAL_HOST_TRACE_VMM_EVENTS_H

#include "host/trace/qemu_events.h"
#include "host/vm/vm.h"
#include "store/store.h"

struct vmm_events {
	struct vm *vm;
	bool has[QEMU_DEVICES_MAX];    /* rows of qemu_events[] that this QEMU can trace */
	bool on;
	struct qemu_events_state state;
};

/* Asks QEMU for each event. -1 when it cannot trace any, or does not answer. */
int vmm_events_find(struct vmm_events *v, struct vm *vm, struct error *err);
/* All that it has, on or off; nothing to do when they are so already. A VM that is gone is no error for switching off. */
int vmm_events_switch(struct vmm_events *v, bool on, struct error *err);
/* absent.SIGHTING for those that no event of this QEMU shows. */
int vmm_events_absent(const struct vmm_events *v, struct store_batch *b, uint64_t run, struct error *err);

#endif
