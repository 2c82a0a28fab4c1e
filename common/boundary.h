/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Boundaries and phases (DESIGN.md section 3): the instants at which a side sees a request pass, in the order
 * of a request's life, and the times between two of them. Numbers are stored and permanent.
 *
 * B(number, NAME, name, vantage, text)
 * P(number, NAME, name, text): phase n runs from boundary n to boundary n + 1.
 */
#ifndef BIFOCAL_COMMON_BOUNDARY_H
#define BIFOCAL_COMMON_BOUNDARY_H

#include <stdbool.h>

#define BOUNDARY_TABLE(B) \
	B(0, APP_SUBMIT, app_submit, "guest.app", "the workload engine is about to submit") \
	B(1, GUEST_QUEUE, guest_queue, "guest.kernel", "the guest's block layer takes the bio") \
	B(2, GUEST_ISSUE, guest_issue, "guest.kernel", "the request goes to the guest's driver") \
	B(3, GUEST_KICK, guest_kick, "guest.kernel", "the driver notifies the device") \
	B(4, HOST_NOTIFY, host_notify, "host", "the notification reaches the VMM") \
	B(5, DEVICE_START, device_start, "vmm", "the device model takes the request") \
	B(6, HOST_SUBMIT, host_submit, "host", "the VMM hands it to the host's kernel") \
	B(7, HOST_ISSUE, host_issue, "host.kernel", "the request goes to the host's driver") \
	B(8, HOST_COMPLETE, host_complete, "host.kernel", "the host's device has done it") \
	B(9, HOST_REAP, host_reap, "host", "the VMM learns of it") \
	B(10, DEVICE_DONE, device_done, "vmm", "the device model completes the request") \
	B(11, IRQ_INJECT, irq_inject, "host", "the interrupt goes to the guest") \
	B(12, GUEST_IRQ, guest_irq, "guest.kernel", "the guest's interrupt handler runs") \
	B(13, GUEST_COMPLETE, guest_complete, "guest.kernel", "the guest's block layer completes the request") \
	B(14, APP_REAP, app_reap, "guest.app", "the workload engine has reaped it")

#define PHASE_TABLE(P) \
	P(0, GUEST_SUBMIT, "guest.submit", "system call and file layer of the guest, down to its block layer") \
	P(1, GUEST_SCHEDULE, "guest.schedule", "the guest's I/O scheduler and plug") \
	P(2, GUEST_DRIVER, "guest.driver", "the guest's driver, up to the kick") \
	P(3, CROSS_KICK, "cross.kick", "from the guest's kick to the host's notice: exit, ioeventfd, wake-up") \
	P(4, VMM_DISPATCH, "vmm.dispatch", "from the notice to the device model's start on the request") \
	P(5, VMM_SUBMIT, "vmm.submit", "device model, throttle, image format, worker thread, up to the host's kernel") \
	P(6, HOST_BLOCK, "host.block", "the host's file system, scheduler and block layer") \
	P(7, HOST_DEVICE, "host.device", "the host's device") \
	P(8, HOST_COMPLETION, "host.completion", "from the device's interrupt to the VMM") \
	P(9, VMM_COMPLETE, "vmm.complete", "from the VMM's reaping to the device model's completion") \
	P(10, VMM_NOTIFY, "vmm.notify", "from the completion to the interrupt") \
	P(11, CROSS_INJECT, "cross.inject", "from the interrupt's injection to the guest's handler") \
	P(12, GUEST_IRQ, "guest.irq", "the guest's handler, up to the request's completion") \
	P(13, GUEST_REAP, "guest.reap", "from the request's completion to the application")

enum boundary {
#define B(number, NAME, name, vantage, text) AT_##NAME = number,
	BOUNDARY_TABLE(B)
#undef B
	BOUNDARIES
};

enum phase {
#define P(number, NAME, name, text) PHASE_##NAME = number,
	PHASE_TABLE(P)
#undef P
	PHASES
};

/* "device_start"; "unknown" beyond the table. Static. */
const char *boundary_name(unsigned boundary);
const char *boundary_text(unsigned boundary);
const char *phase_name(unsigned phase);
const char *phase_text(unsigned phase);

/* The name of the time between two boundaries, from < to: "vmm.dispatch", or "guest.driver..vmm.dispatch" where those
 * between were not seen and their phases merge. Returns dst. */
enum { PHASE_SPAN_MAX = 48 };
char *phase_span_name(unsigned from, unsigned to, char dst[PHASE_SPAN_MAX]);

/* Stamped by the guest's clock; the others by the host's. */
bool boundary_in_guest(unsigned boundary);
/* True when the two are stamped by different clocks. The whole, app_submit to app_reap, is not: its ends are both the guest's. */
bool phase_crosses(unsigned from, unsigned to);

#endif
