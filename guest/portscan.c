// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/portscan.h"

#include <dirent.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *port_name(int role)
{
	static const char *const names[] = {
		[PORT_CONTROL] = "org.bifocal.control.0",
		[PORT_DATA] = "org.bifocal.data.0",
	};

	return names[role];
}

static void add_other(struct portscan *s, const char *name)
{
	size_t n = strlen(s->others);

	snprintf(s->others + n, sizeof(s->others) - n, "%s%s", n ? " " : "", name);
}

static void scan_one(struct portscan *s, const char *root, const char *device)
{
	char name[128];
	int role = 0;

	/* A port without a name yet is announced again when it has one. */
	if (sys_read(name, sizeof(name), root, "/sys/class/virtio-ports/%s/name", device) <= 0)
		return;
	while (role < PORT_COUNT && strcmp(name, port_name(role)) != 0)
		role++;
	if (role == PORT_COUNT) {
		add_other(s, name);
	} else if (s->found[role]++ || sys_path(s->path[role], root, "/dev/%s", device)) {
		s->path[role][0] = '\0';
	}
}

void portscan(struct portscan *s, const char *root)
{
	char path[SYS_PATH_MAX];

	memset(s, 0, sizeof(*s));
	DIR *dir = sys_path(path, root, "/sys/class/virtio-ports") ? NULL : opendir(path);
	for (const struct dirent *e; dir && (e = readdir(dir));)
		if (e->d_name[0] != '.')
			scan_one(s, root, e->d_name);
	if (dir)
		closedir(dir);
}

void portscan_complaint(const struct portscan *s, int role, char *dst, size_t cap)
{
	dst[0] = '\0';
	if (s->found[role] > 1)
		snprintf(dst, cap, "%u virtio ports are named %s, so neither is used; give the name to one virtserialport only",
			 s->found[role], port_name(role));
	else if (!s->found[role])
		snprintf(dst, cap, "no virtio port is named %s (other ports: %s); start QEMU with -device virtio-serial -device virtserialport,name=%s,chardev=…",
			 port_name(role), s->others[0] ? s->others : "none", port_name(role));
}

int uevent_open(void)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		int e = errno;
		close(fd);
		errno = e;
		return -1;
	}
	return fd;
}

/* An event is "action@devpath", then KEY=value strings, each ended by NUL. */
static bool is_about_ports(const char *event, size_t n)
{
	static const char wanted[] = "SUBSYSTEM=virtio-ports";

	return memmem(event, n, wanted, sizeof(wanted)) != NULL;
}

bool uevent_drain(int fd)
{
	char event[8192];
	bool ours = false;
	ssize_t n;

	while ((n = recv(fd, event, sizeof(event), 0)) > 0 || (n < 0 && (errno == ENOBUFS || errno == EINTR)))
		ours |= n < 0 || is_about_ports(event, (size_t)n);
	return ours;
}
