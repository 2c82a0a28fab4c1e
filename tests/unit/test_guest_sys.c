// SPDX-License-Identifier: GPL-2.0-or-later
/* What the agent reads from a made-up /sys: disks, their serials and drivers, ports, devices that want modules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/disk.h"
#include "guest/modules.h"
#include "guest/portscan.h"
#include "tests/fixtures/made_up_root.h"

static char root[64];

static void put(const char *path, const void *bytes, size_t n)
{
	root_put(root, path, bytes, n);
}

static void put_text(const char *path, const char *text)
{
	put(path, text, strlen(text));
}

static void put_link(const char *path, const char *target)
{
	char full[512];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	assert_int_equal(symlink(target, full), 0);
}

static int setup(void **state)
{
	(void)state;
	strcpy(root, "/tmp/bifocal-sys-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

static void test_disks(void **state)
{
	(void)state;
	struct disk d[8];
	static const char page[] = "\0\x80\0\x14     bifocal-scratch";

	put_text("sys/block/loop0/size", "100\n");
	put_text("sys/block/sr0/size", "100\n");
	put_text("sys/block/vda/size", "2048\n");
	put_text("sys/block/vda/serial", "abc\n");
	put_text("sys/block/vda/queue/logical_block_size", "4096\n");
	put_text("sys/block/vda/queue/scheduler", "none [mq-deadline] bfq\n");
	put_text("sys/block/vda/mq/0/x", "");
	put_text("sys/block/vda/mq/1/x", "");
	put_text("sys/block/vdempty/size", "0\n");
	put_text("sys/block/nvme0n1/size", "8\n");
	put_text("sys/block/nvme0n1/device/serial", "  n v m e    \n");
	put_text("sys/block/sda/size", "16\n");
	put_text("sys/devices/pci0/0000:00:1f.2/ata1/host0/0:0:0:0/type", "0\n");
	put("sys/devices/pci0/0000:00:1f.2/ata1/host0/0:0:0:0/vpd_pg80", page, sizeof(page) - 1);
	put_text("sys/bus/pci/drivers/ahci/x", "");
	put_text("sys/bus/scsi/drivers/sd/x", "");
	put_link("sys/devices/pci0/0000:00:1f.2/driver", "../../../bus/pci/drivers/ahci");
	put_link("sys/devices/pci0/0000:00:1f.2/ata1/host0/0:0:0:0/driver", "../../../../../../bus/scsi/drivers/sd");
	put_link("sys/block/sda/device", "../../devices/pci0/0000:00:1f.2/ata1/host0/0:0:0:0");
	assert_int_equal(disk_list(root, d, 8), 3);
	assert_string_equal(d[0].name, "nvme0n1");
	assert_string_equal(d[0].serial, "n v m e");
	assert_int_equal(d[0].size, 4096);
	assert_string_equal(d[1].name, "sda");
	assert_string_equal(d[1].serial, "bifocal-scratch");
	assert_string_equal(d[1].driver, "ahci");
	assert_true(d[1].scratch);
	assert_string_equal(d[2].serial, "abc");
	assert_string_equal(d[2].scheduler, "mq-deadline");
	assert_int_equal(d[2].logical_block, 4096);
	assert_int_equal(d[2].queues, 2);
	assert_false(d[2].scratch);
	assert_int_equal(disk_list(root, d, 2), 2);
}

/* A serial that only begins like ours, or is ours in part, is not ours; control bytes do not reach a terminal. */
static void test_hostile_serials(void **state)
{
	(void)state;
	struct disk d;
	struct error err = { 0 };

	put_text("sys/block/vda/size", "8\n");
	put_text("sys/block/vda/serial", "bifocal-scratch2\n");
	assert_int_equal(disk_find(root, "vda", &d, &err), 0);
	assert_false(d.scratch);
	put_text("sys/block/vda/serial", "a\x1b[2Jb\n");
	assert_int_equal(disk_find(root, "vda", &d, &err), 0);
	assert_string_equal(d.serial, "a?[2Jb");
	assert_int_equal(disk_find(root, "", &d, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void test_ports(void **state)
{
	(void)state;
	struct portscan s;
	char text[400];

	portscan(&s, root);
	portscan_complaint(&s, PORT_CONTROL, text, sizeof(text));
	assert_non_null(strstr(text, "other ports: none"));
	put_text("sys/class/virtio-ports/vport0p1/name", "org.bifocal.control.0\n");
	put_text("sys/class/virtio-ports/vport0p2/name", "org.bifocal.data.0\n");
	put_text("sys/class/virtio-ports/vport0p3/name", "\n");
	put_text("sys/class/virtio-ports/vport0p4/name", "org.bifocal.control.01\n");
	portscan(&s, root);
	assert_non_null(strstr(s.path[PORT_CONTROL], "/dev/vport0p1"));
	assert_non_null(strstr(s.path[PORT_DATA], "/dev/vport0p2"));
	assert_string_equal(s.others, "org.bifocal.control.01");
	portscan_complaint(&s, PORT_DATA, text, sizeof(text));
	assert_string_equal(text, "");
	put_text("sys/class/virtio-ports/vport1p1/name", "org.bifocal.data.0\n");
	portscan(&s, root);
	assert_string_equal(s.path[PORT_DATA], "");
	portscan_complaint(&s, PORT_DATA, text, sizeof(text));
	assert_non_null(strstr(text, "2 virtio ports"));
}

static void test_modules_wanted(void **state)
{
	(void)state;
	assert_true(modules_wanted(root, ""));
	assert_true(modules_wanted(root, " \t"));
	assert_false(modules_wanted(root, "pci:*"));
	put_text("sys/bus/pci/devices/0000:00:1f.2/modalias", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01\n");
	put_text("sys/bus/virtio/devices/virtio0/modalias", "virtio:d00000002v00001AF4\n");
	assert_true(modules_wanted(root, "pci:*bc01sc06i01*"));
	assert_true(modules_wanted(root, "pci:*bc01sc08i02* virtio:d00000002v*"));
	assert_false(modules_wanted(root, "pci:*bc01sc08i02* virtio:d00000008v*"));
}

/* No file, nothing to load; a module that is not there is named. */
static void test_modules_list(void **state)
{
	(void)state;
	struct error err = { 0 };

	assert_int_equal(modules_load(root, MODULES_PORTS, &err), 0);
	assert_int_equal(err.code, ERR_NONE);
	put_text("modules.list", "# comment\n\n/modules/none.ko pci:*\n--\n/modules/missing.ko\nrelative.ko\n");
	assert_int_equal(modules_load(root, MODULES_PORTS, &err), 0);
	assert_int_equal(err.code, ERR_NONE);
	assert_int_equal(modules_load(root, MODULES_REST, &err), 0);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "/modules/missing.ko"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_disks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_serials, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_modules_wanted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_modules_list, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
