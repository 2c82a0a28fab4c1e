// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/disk.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/hdreg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/cleanup.h"
#include "guest/sys.h"

/* ATA pads with blanks in front, others behind; a serial is an identifier, so neither belongs to it. */
static void set_serial(struct disk *d, const char *text, size_t n)
{
	while (n && (isspace((unsigned char)*text) || !*text))
		text++, n--;
	while (n && (isspace((unsigned char)text[n - 1]) || !text[n - 1]))
		n--;
	if (n >= sizeof(d->serial))
		n = sizeof(d->serial) - 1;
	memcpy(d->serial, text, n);
	d->serial[n] = '\0';
	for (size_t i = 0; i < n; i++)
		if (!isprint((unsigned char)d->serial[i]))
			d->serial[i] = '?';
}

/* SCSI, and ATA through libata: vital product data page 0x80 has a header of four bytes. */
static bool serial_from_vpd(const char *root, struct disk *d)
{
	char page[256];
	ssize_t n = sys_read(page, sizeof(page), root, "/sys/block/%s/device/vpd_pg80", d->name);

	if (n <= 4)
		return false;
	set_serial(d, page + 4, (size_t)n - 4);
	return d->serial[0];
}

static void serial_from_identify(const char *root, struct disk *d)
{
	char path[SYS_PATH_MAX];
	struct hd_driveid id;

	if (sys_path(path, root, "/dev/%s", d->name))
		return;
	autoclose int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && ioctl(fd, HDIO_GET_IDENTITY, &id) == 0)
		set_serial(d, (const char *)id.serial_no, sizeof(id.serial_no));
}

static void find_serial(const char *root, struct disk *d)
{
	static const char *const places[] = { "serial", "device/serial" };      /* virtio-blk; nvme */

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char text[128];
		ssize_t n = sys_read(text, sizeof(text), root, "/sys/block/%s/%s", d->name, places[i]);
		if (n > 0) {
			set_serial(d, text, (size_t)n);
			return;
		}
	}
	if (!serial_from_vpd(root, d))
		serial_from_identify(root, d);
}

/* The controller's driver. A SCSI or ATA disk's own is `sd`, and tells nothing: go up the tree to the
 * first device whose driver is another's. */
static void find_driver(const char *root, struct disk *d)
{
	char path[SYS_PATH_MAX], link[SYS_PATH_MAX + sizeof("/driver")];

	if (sys_path(path, root, "/sys/block/%s/device", d->name))
		return;
	autofree char *at = realpath(path, NULL);
	size_t stop = strlen(root) + strlen("/sys/devices");
	while (at && strlen(at) > stop && strlen(at) < SYS_PATH_MAX) {
		snprintf(link, sizeof(link), "%s/driver", at);
		if (!sys_link_name(d->driver, sizeof(d->driver), link) && strcmp(d->driver, "sd") != 0)
			return;
		*strrchr(at, '/') = '\0';
	}
	d->driver[0] = '\0';
}

/* "[none] mq-deadline": the one in brackets. */
static void find_scheduler(const char *root, struct disk *d)
{
	char text[256];

	sys_read(text, sizeof(text), root, "/sys/block/%s/queue/scheduler", d->name);
	const char *open = strchr(text, '['), *close = open ? strchr(open, ']') : NULL;
	if (close)
		snprintf(d->scheduler, sizeof(d->scheduler), "%.*s", (int)(close - open - 1), open + 1);
	else
		snprintf(d->scheduler, sizeof(d->scheduler), "%.*s", (int)sizeof(d->scheduler) - 1, text);
}

static uint32_t count_queues(const char *root, const char *name)
{
	char path[SYS_PATH_MAX];
	uint32_t n = 0;

	if (sys_path(path, root, "/sys/block/%s/mq", name))
		return 0;
	DIR *dir = opendir(path);
	for (const struct dirent *e; dir && (e = readdir(dir));)
		n += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

static void describe(const char *root, const char *name, struct disk *d)
{
	memset(d, 0, sizeof(*d));
	snprintf(d->name, sizeof(d->name), "%.*s", DISK_TEXT_MAX - 1, name);
	d->size = sys_read_u64(0, root, "/sys/block/%s/size", name) * 512;
	d->logical_block = (uint32_t)sys_read_u64(512, root, "/sys/block/%s/queue/logical_block_size", name);
	d->physical_block = (uint32_t)sys_read_u64(512, root, "/sys/block/%s/queue/physical_block_size", name);
	d->queues = count_queues(root, name);
	find_serial(root, d);
	find_driver(root, d);
	find_scheduler(root, d);
	d->scratch = strcmp(d->serial, DISK_SCRATCH_SERIAL) == 0;
}

/* Kernel names are short; a longer one is none. */
static int is_disk(const struct dirent *e)
{
	static const char *const others[] = { ".", "ram", "loop", "zram", "sr", "fd", "dm-", "md" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strncmp(e->d_name, others[i], strlen(others[i])) == 0)
			return 0;
	return strlen(e->d_name) < DISK_TEXT_MAX;
}

unsigned disk_list(const char *root, struct disk *out, unsigned cap)
{
	char path[SYS_PATH_MAX];
	struct dirent **names = NULL;
	unsigned n = 0;

	int found = sys_path(path, root, "/sys/block") ? -1 : scandir(path, &names, is_disk, alphasort);
	for (int i = 0; i < found; i++) {
		if (n < cap) {
			describe(root, names[i]->d_name, &out[n]);
			n += out[n].size != 0;
		}
		free(names[i]);
	}
	free(names);
	return n;
}

static int not_found(const struct disk *disks, unsigned n, const char *wanted, struct error *err)
{
	char list[512];
	size_t at = 0;

	list[0] = '\0';
	for (unsigned i = 0; i < n && at < sizeof(list); i++)
		at += (size_t)snprintf(list + at, sizeof(list) - at, " %s(%s)", disks[i].name, disks[i].serial[0] ? disks[i].serial : "no serial");
	return error_set(err, ERR_NOT_FOUND, "disk %s: no disk has this serial number or name; the guest has:%s", wanted, n ? list : " none");
}

int disk_find(const char *root, const char *wanted, struct disk *out, struct error *err)
{
	autofree struct disk *disks = calloc(DISKS_MAX, sizeof(*disks));
	const struct disk *hit = NULL;

	if (!disks)
		return error_set(err, ERR_LIMIT, "disk %s: no memory to list the disks", wanted);
	unsigned n = disk_list(root, disks, DISKS_MAX), hits = 0;
	for (unsigned i = 0; i < n; i++)
		if (disks[i].serial[0] && strcmp(disks[i].serial, wanted) == 0)
			hit = &disks[i], hits++;
	for (unsigned i = 0; i < n && !hit; i++)
		if (strcmp(disks[i].name, wanted) == 0)
			hit = &disks[i];
	if (hits > 1)
		return error_set(err, ERR_REFUSED, "disk %s: %u disks carry this serial number; name one by its kernel name", wanted, hits);
	if (!hit)
		return not_found(disks, n, wanted, err);
	*out = *hit;
	return 0;
}
