/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which virtio ports are ours: by the names that QEMU gave them, never by number. */
#ifndef BIFOCAL_GUEST_PORTSCAN_H
#define BIFOCAL_GUEST_PORTSCAN_H

#include "guest/port.h"

struct portscan {
	char path[PORT_COUNT][SYS_PATH_MAX];    /* of the device; "" when none or several carry the name */
	unsigned found[PORT_COUNT];             /* ports of that name */
	char others[256];                       /* names of all other ports, blank-separated; "" for none */
};

/* "org.bifocal.control.0", "org.bifocal.data.0" */
const char *port_name(int role);
void portscan(struct portscan *s, const char *root);
/* One line for people on what is wrong with one role; "" when nothing is. */
void portscan_complaint(const struct portscan *s, int role, char *dst, size_t cap);
/* A netlink socket that becomes readable when the kernel adds, names or removes a device; -1 with errno. */
int uevent_open(void);
/* Empties it. True when something about virtio ports changed, or the kernel had to drop events. */
bool uevent_drain(int fd);

#endif
