/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A /dev/kvm that opens proves little: containers and some nested clouds show one that never runs a kernel. The CPU's
 * flags are the first test, KVM's API version the second; a boot that never greets is the third, and the caller's to remember.
 */
#include "host/vm/accel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/cleanup.h"

enum { KVM_API_WANTED = 12 };   /* constant since Linux 2.6.22; any other number is an error says KVM's own manual */

bool cpu_has_flag(const char *root, const char *flag)
{
	char path[300], line[8192];
	bool found = false;

	snprintf(path, sizeof(path), "%s/proc/cpuinfo", root);
	autofclose FILE *f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		char *save = NULL;

		if (strncmp(line, "flags", 5))
			continue;
		for (char *w = strtok_r(line, " \t\n", &save); w && !found; w = strtok_r(NULL, " \t\n", &save))
			found = strcmp(w, flag) == 0;
	}
	return found;
}

static int real_api_version(int fd)
{
	return ioctl(fd, KVM_GET_API_VERSION, 0);
}

static int open_kvm(const struct accel_world *w)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/dev/kvm", w->root);
	return open(path, O_RDWR | O_CLOEXEC);
}

/* What stands in KVM's way, into `why`; false when nothing does. */
static bool kvm_obstacle(const struct accel_world *w, char *why, size_t cap)
{
	if (!cpu_has_flag(w->root, "vmx") && !cpu_has_flag(w->root, "svm")) {
		snprintf(why, cap, "the CPU shows neither vmx nor svm, so KVM cannot run a kernel here");
		return true;
	}
	autoclose int fd = open_kvm(w);
	if (fd < 0) {
		snprintf(why, cap, "/dev/kvm does not open: %s", strerror(errno));
		return true;
	}
	int version = w->kvm_api_version(fd);
	if (version != KVM_API_WANTED) {
		snprintf(why, cap, "/dev/kvm answers API version %d, not %d", version, KVM_API_WANTED);
		return true;
	}
	return false;
}

static int choose(struct accel_choice *out, bool kvm, const char *why)
{
	out->kvm = kvm;
	snprintf(out->why, sizeof(out->why), "%s: %s", kvm ? "kvm" : "tcg", why);
	return 0;
}

int accel_choose_in(const struct accel_world *w, const struct config *c, bool remembered_failure,
		    struct accel_choice *out, struct error *err)
{
	const char *asked = config_str(c, CFG_VM_ACCEL);
	char why[200];

	if (strcmp(asked, "tcg") == 0)
		return choose(out, false, "asked for by vm.accel=tcg");
	if (strcmp(asked, "kvm") == 0) {
		autoclose int fd = open_kvm(w);
		if (fd < 0)
			return error_sys(err, errno, "/dev/kvm: cannot open it, yet vm.accel=kvm needs it; "
					 "load kvm_intel or kvm_amd, join group kvm, or take vm.accel=auto");
		return choose(out, true, "asked for by vm.accel=kvm");
	}
	if (config_bool(c, CFG_VM_ICOUNT))
		return choose(out, false, "vm.icount=on counts instructions, which only emulation can");
	if (remembered_failure)
		return choose(out, false, "a guest under KVM never greeted before");
	if (kvm_obstacle(w, why, sizeof(why)))
		return choose(out, false, why);
	return choose(out, true, "the CPU can virtualise and /dev/kvm answers");
}

int accel_choose(const struct config *c, bool remembered_failure, struct accel_choice *out, struct error *err)
{
	const struct accel_world real = { "", real_api_version };

	return accel_choose_in(&real, c, remembered_failure, out, err);
}
