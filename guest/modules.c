// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The image's recipe writes /modules.list; the agent reads it. No depmod, no udev:
 *
 *     # comment
 *     /lib/modules/virtio.ko
 *     /lib/modules/virtio_pci.ko
 *     /lib/modules/virtio_console.ko
 *     --
 *     /lib/modules/virtio_blk.ko virtio:d00000002v*
 *     /lib/modules/ahci.ko pci:v*d*sv*sd*bc01sc06i01*
 *
 * One module a line in load order: its absolute path, then blank-separated globs. With globs it is loaded only
 * when one of them matches the modalias of a device below /sys/bus/pci or /sys/bus/virtio; a module that
 * others depend on carries theirs, or none. Above the line "--" stands what the ports need, loaded before anything
 * else; below it the rest, loaded once the port is open; below a second "--" what is loaded when the collector asks for
 * clock pairing. Without the file there is nothing to load.
 * Modules may be compressed if the kernel can decompress them (.xz, .zst, .gz).
 */
#include "guest/modules.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/module.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "guest/sys.h"

static bool matches_bus(const char *root, const char *bus, const char *glob)
{
	char path[SYS_PATH_MAX], alias[256];
	bool hit = false;

	DIR *dir = sys_path(path, root, "/sys/bus/%s/devices", bus) ? NULL : opendir(path);
	for (const struct dirent *e; dir && !hit && (e = readdir(dir));)
		hit = e->d_name[0] != '.' &&
		      sys_read(alias, sizeof(alias), root, "/sys/bus/%s/devices/%s/modalias", bus, e->d_name) > 0 &&
		      fnmatch(glob, alias, 0) == 0;
	if (dir)
		closedir(dir);
	return hit;
}

bool modules_wanted(const char *root, const char *globs)
{
	char copy[1024], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", globs);
	char *glob = strtok_r(copy, " \t", &save);
	if (!glob)
		return true;
	for (; glob; glob = strtok_r(NULL, " \t", &save))
		if (matches_bus(root, "pci", glob) || matches_bus(root, "virtio", glob))
			return true;
	return false;
}

static int load(const char *path)
{
	const char *dot = strrchr(path, '.');
	int flags = dot && strcmp(dot, ".ko") != 0 ? MODULE_INIT_COMPRESSED_FILE : 0;
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	long r = syscall(SYS_finit_module, fd, "", flags);
	/* ENODEV and EOPNOTSUPP are how a driver says that this machine has no use for it. */
	return r == 0 || errno == EEXIST || errno == ENODEV || errno == EOPNOTSUPP ? 0 : -1;
}

static bool load_line(const char *root, char *line, struct error *err)
{
	char path[SYS_PATH_MAX];
	size_t n = strcspn(line, " \t");
	const char *globs = line[n] ? line + n + 1 : "";

	line[n] = '\0';
	if (!modules_wanted(root, globs) || sys_path(path, root, "%s", line))
		return false;
	if (load(path) == 0)
		return true;
	if (!err->code)
		error_sys(err, errno, "kernel module %s", line);
	return false;
}

int modules_load(const char *root, enum module_part part, struct error *err)
{
	char path[SYS_PATH_MAX];
	autofree char *line = NULL;
	autofclose FILE *f = sys_path(path, root, "/modules.list") ? NULL : fopen(path, "re");
	enum module_part at = MODULES_PORTS;
	size_t cap = 0;
	int loaded = 0;

	while (f && getline(&line, &cap, f) > 0) {
		line[strcspn(line, "\r\n")] = '\0';
		if (strcmp(line, "--") == 0)
			at = at == MODULES_PORTS ? MODULES_REST : MODULES_CLOCK;
		else if (at == part && line[0] == '/')
			loaded += load_line(root, line, err);
	}
	return loaded;
}

struct module_loader {
	const char *root;
	pthread_t thread;
	int fd;
	struct error err;
};

static void *loader_main(void *arg)
{
	struct module_loader *l = arg;

	modules_load(l->root, MODULES_REST, &l->err);
	eventfd_write(l->fd, 1);
	return NULL;
}

struct module_loader *module_loader_start(const char *root)
{
	struct module_loader *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->root = root;
	l->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->fd < 0 || pthread_create(&l->thread, NULL, loader_main, l) != 0) {
		if (l->fd >= 0)
			close(l->fd);
		free(l);
		return NULL;
	}
	return l;
}

int module_loader_fd(const struct module_loader *l)
{
	return l->fd;
}

void module_loader_join(struct module_loader *l, struct error *err)
{
	pthread_join(l->thread, NULL);
	*err = l->err;
	close(l->fd);
	free(l);
}
