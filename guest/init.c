// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/sys.h"

static void mount_all(struct error *err)
{
	static const struct { const char *type, *at; unsigned long flags; } mounts[] = {
		{ "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "devtmpfs", "/dev", MS_NOSUID },
		{ "tmpfs", "/tmp", MS_NOSUID | MS_NODEV },
		{ "tracefs", "/sys/kernel/tracing", MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "debugfs", "/sys/kernel/debug", MS_NOSUID | MS_NODEV | MS_NOEXEC },
	};

	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].at, 0755);
		if (mount(mounts[i].type, mounts[i].at, mounts[i].type, mounts[i].flags, NULL) < 0 && errno != EBUSY && !err->code)
			error_sys(err, errno, "mount %s on %s", mounts[i].type, mounts[i].at);
	}
}

/* "bifocal.console=1" on the kernel's command line: log to the (serial) console. Without it the agent is silent
 * there, since a character costs a VM exit. */
static bool wants_console(void)
{
	static const char word[] = "bifocal.console=1";
	char line[4096];

	sys_read(line, sizeof(line), "", "/proc/cmdline");
	for (const char *p = line; (p = strstr(p, word)); p++)
		if ((p == line || p[-1] == ' ') && strchr(" \n", p[sizeof(word) - 1]))
			return true;
	return false;
}

static void open_console(void)
{
	int fd = -1;

	if (wants_console()) {
		fd = open("/dev/console", O_RDWR | O_NOCTTY);
		if (fd < 0)
			fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
	}
	if (fd < 0)
		fd = open("/dev/null", O_RDWR);
	for (int i = 0; i < 3 && fd >= 0; i++)
		if (fd != i)
			dup2(fd, i);
	if (fd > 2)
		close(fd);
}

void init_setup(struct error *err)
{
	mount_all(err);
	open_console();
	/* Ignored, not handled: then the kernel reaps whatever ends up with PID 1. */
	signal(SIGCHLD, SIG_IGN);
}

_Noreturn void init_poweroff(void)
{
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}
