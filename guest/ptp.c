// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/ptp.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/tsc.h"
#include "guest/modules.h"
#include "guest/sys.h"

enum {
	DEVICES = 8,                   /* a guest with passed-through network cards has some of theirs */
	READINGS = 8,
};

/* include/linux/posix-timers.h: a descriptor as a clock's id. */
static clockid_t clock_of(int fd)
{
	return (clockid_t)((~(unsigned)fd << 3) | 3u);
}

int ptp_find(const char *root)
{
	char name[64];

	for (int i = 0; i < DEVICES; i++)
		if (sys_read(name, sizeof(name), root, "/sys/class/ptp/ptp%d/clock_name", i) > 0 && strncmp(name, "KVM virtual PTP", 15) == 0)
			return i;
	return -1;
}

/* The hypercall reads the host's clock between the two stamps. */
static bool read_once(int fd, struct msg_clock_paired *out)
{
	struct timespec t;

	out->before = tsc_read();
	if (clock_gettime(clock_of(fd), &t))
		return false;
	out->after = tsc_read();
	out->host_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
	out->ok = 1;
	return true;
}

static void read_tightest(int fd, struct msg_clock_paired *best)
{
	for (int i = 0; i < READINGS; i++) {
		struct msg_clock_paired now = { 0 };
		if (read_once(fd, &now) && (!best->ok || now.after - now.before < best->after - best->before))
			*best = now;
	}
}

void ptp_read(const char *root, struct msg_clock_paired *out)
{
	char path[SYS_PATH_MAX];
	struct error ignored = { 0 };

	*out = (struct msg_clock_paired){ 0 };
	int n = ptp_find(root);
	if (n < 0) {
		modules_load(root, MODULES_CLOCK, &ignored);
		n = ptp_find(root);
	}
	if (n < 0 || sys_path(path, root, "/dev/ptp%d", n))
		return;
	autoclose int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		read_tightest(fd, out);
}
