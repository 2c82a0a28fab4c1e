/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's clock as KVM tells it to its guest: the PTP clock of the ptp_kvm driver (KVM_HC_CLOCK_PAIRING).
 *
 * Its driver is loaded when it is first asked for, and not at boot: under emulation it can only fail, and would delay the disks.
 */
#ifndef BIFOCAL_GUEST_PTP_H
#define BIFOCAL_GUEST_PTP_H

#include "common/message.h"

/* The tightest of several readings, each between two stamps of the TSC. Fills all but the id; ok = 0 when there is no such clock
 * here. `root` as in struct agent_options. */
void ptp_read(const char *root, struct msg_clock_paired *out);

/* The number of the PTP device that ptp_kvm made, -1 if there is none. Exposed for tests. */
int ptp_find(const char *root);

#endif
