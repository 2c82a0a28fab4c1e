/* SPDX-License-Identifier: GPL-2.0-or-later */
/* accel_choose() with the world it looks at as an argument, so that tests can make one up. */
#ifndef BIFOCAL_HOST_VM_ACCEL_H
#define BIFOCAL_HOST_VM_ACCEL_H

#include "host/vm/vm.h"

struct accel_world {
	const char *root;                 /* in front of /dev/kvm and /proc/cpuinfo; "" for the real ones */
	int (*kvm_api_version)(int fd);   /* of an open /dev/kvm; -1 with errno */
};

int accel_choose_in(const struct accel_world *w, const struct config *c, bool remembered_failure,
		    struct accel_choice *out, struct error *err);
/* Whether `flag` stands among the flags of /proc/cpuinfo under `root`. */
bool cpu_has_flag(const char *root, const char *flag);

#endif
