/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole command lines for made-up releases; that the installed QEMU takes every one of them is test_host_vm's to show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/vm/qemu.h"

static const struct vm_paths paths = {
	.dir = "/r", .control = "/r/control", .data = "/r/data", .qmp = "/r/qmp", .serial_log = "/r/serial.log",
	.scratch = "/r/scratch", .qemu_log = "/r/qemu.log", .trace_log = "/r/trace.log", .kernel = "/i/vmlinux", .initrd = "/i/initrd",
	.disk_image = "/i/bifocal.img", .cmdline = "quiet", .ovmf_code = "/f/CODE.fd", .ovmf_vars = "/r/ovmf-vars",
};

static struct config config_of(const char *const sets[])
{
	struct config c;
	struct error err = { 0 };

	config_default(&c);
	for (size_t i = 0; sets && sets[i]; i++)
		if (config_assign(&c, sets[i], &err))
			fail_msg("%s: %s", sets[i], err.text);
	if (config_check(&c, &err))
		fail_msg("%s", err.text);
	return c;
}

static struct qemu_info release(unsigned major, unsigned minor)
{
	return (struct qemu_info){ .path = "qemu", .major = major, .minor = minor };
}

/* The line with one blank between arguments; freed by the caller. */
static char *line_of(const struct config *c, struct qemu_info q, bool kvm, const struct vm_paths *p)
{
	char *argv[VM_ARGS_MAX], *text = NULL;
	size_t len;
	struct error err = { 0 };

	if (qemu_args(c, &q, kvm, p, argv, &err))
		fail_msg("%s", err.text);
	FILE *f = open_memstream(&text, &len);
	for (size_t i = 0; argv[i]; i++)
		fprintf(f, "%s%s", i ? " " : "", argv[i]);
	fclose(f);
	qemu_args_free(argv);
	return text;
}

static void assert_line(const char *const sets[], struct qemu_info q, bool kvm, const char *wanted)
{
	struct config c = config_of(sets);
	char *line = line_of(&c, q, kvm, &paths);

	assert_string_equal(line, wanted);
	free(line);
}

static void assert_part(const char *const sets[], bool kvm, const char *wanted)
{
	struct config c = config_of(sets);
	char *line = line_of(&c, release(8, 2), kvm, &paths);

	if (!strstr(line, wanted))
		fail_msg("\"%s\"\nshould hold \"%s\"", line, wanted);
	free(line);
}

#define SETS(...) (const char *const[]){ __VA_ARGS__, NULL }

#define FRONT "qemu -name bifocal,debug-threads=on -no-user-config -nodefaults -no-reboot -display none "
#define CHANNELS \
	"-chardev socket,id=qmp,server=on,wait=off,path=/r/qmp -mon chardev=qmp,mode=control " \
	"-chardev file,id=console,path=/r/serial.log -serial chardev:console " \
	"-device virtio-serial-pci,id=ports,max_ports=3 " \
	"-chardev socket,id=control,server=on,wait=off,path=/r/control " \
	"-device virtserialport,bus=ports.0,nr=1,chardev=control,name=org.bifocal.control.0 " \
	"-chardev socket,id=data,server=on,wait=off,path=/r/data " \
	"-device virtserialport,bus=ports.0,nr=2,chardev=data,name=org.bifocal.data.0 " \
	"-msg timestamp=on -D /r/trace.log "
#define DIRECT "-kernel /i/vmlinux -initrd /i/initrd -append quiet "
#define FILE_NODES \
	"-blockdev driver=file,node-name=scratch-file,aio=threads,cache.direct=on,cache.no-flush=off,filename=/r/scratch " \
	"-blockdev driver=raw,node-name=scratch,file=scratch-file,cache.direct=on,cache.no-flush=off "
#define VIRTIO_BLK "-device virtio-blk-pci,drive=scratch,serial=bifocal-scratch,write-cache=on"

static void test_releases(void **state)
{
	(void)state;
	static const char seven[] =
		FRONT "-machine q35,sata=off,mem-merge=off,dump-guest-core=off -no-hpet -accel tcg,thread=multi "
		"-cpu max,-erms,-fsrm -smp cpus=1 -m size=512M " CHANNELS DIRECT FILE_NODES VIRTIO_BLK;
	static const char later[] =
		FRONT "-machine q35,sata=off,hpet=off,mem-merge=off,dump-guest-core=off -accel tcg,thread=multi "
		"-cpu max,-erms,-fsrm -smp cpus=1 -m size=512M " CHANNELS DIRECT FILE_NODES VIRTIO_BLK;

	assert_line(NULL, release(7, 0), false, seven);
	assert_line(NULL, release(7, 2), false, seven);
	assert_line(NULL, release(8, 0), false, later);
	assert_line(NULL, release(8, 2), false, later);
	assert_line(NULL, release(9, 2), false, later);
	assert_line(NULL, release(10, 0), false, later);
	assert_line(NULL, release(11, 1), false, later);
}

static void test_kvm(void **state)
{
	(void)state;
	assert_line(SETS("vm.machine=pc", "cpus=4", "vm.memory=2g", "disk.iothread=on", "disk.queues=4"), release(9, 2), true,
		    FRONT "-machine pc,hpet=off,mem-merge=off,dump-guest-core=off -accel kvm "
		    "-cpu host,migratable=off -smp cpus=4 -m size=2048M " CHANNELS DIRECT FILE_NODES
		    "-object iothread,id=iothread0 " VIRTIO_BLK ",iothread=iothread0,num-queues=4");
}

static void test_uefi(void **state)
{
	(void)state;
	assert_line(SETS("vm.boot=uefi", "vm.boot_bus=ahci", "disk.bus=ahci"), release(10, 0), false,
		    FRONT "-machine q35,hpet=off,mem-merge=off,dump-guest-core=off,pflash0=ovmf-code,pflash1=ovmf-vars "
		    "-blockdev driver=file,node-name=ovmf-code,read-only=on,filename=/f/CODE.fd "
		    "-blockdev driver=file,node-name=ovmf-vars,filename=/r/ovmf-vars "
		    "-accel tcg,thread=multi -cpu max,-erms,-fsrm -smp cpus=1 -m size=512M " CHANNELS
		    "-boot strict=on -drive if=none,id=boot,format=raw,snapshot=on,file=/i/bifocal.img "
		    "-device ide-hd,bus=ide.0,drive=boot,serial=bifocal-boot,bootindex=0 " FILE_NODES
		    "-device ide-hd,bus=ide.1,drive=scratch,serial=bifocal-scratch,write-cache=on");
}

static void test_buses(void **state)
{
	(void)state;
	assert_part(SETS("disk.bus=virtio-scsi", "disk.iothread=on", "disk.queues=2"), false,
		    "-device virtio-scsi-pci,id=scratch-hba,iothread=iothread0,num_queues=2 "
		    "-device scsi-hd,bus=scratch-hba.0,drive=scratch,serial=bifocal-scratch,write-cache=on");
	assert_part(SETS("disk.bus=ahci"), false, "-device ide-hd,bus=ide.0,drive=scratch,");
	assert_part(SETS("disk.bus=ahci", "vm.machine=pc"), false,
		    "-device ich9-ahci,id=scratch-ahci -device ide-hd,bus=scratch-ahci.0,drive=scratch,");
	assert_part(SETS("disk.bus=ide"), false, "-device piix3-ide,id=pata -device ide-hd,bus=pata.0,unit=0,drive=scratch,");
	assert_part(SETS("disk.bus=ide", "vm.machine=pc"), false, "cache.no-flush=off -device ide-hd,bus=ide.0,unit=0,drive=scratch,");
	assert_part(SETS("disk.bus=ide", "vm.boot=bios", "vm.boot_bus=ide"), false, "write-cache=on");
	assert_part(SETS("disk.bus=nvme", "disk.queues=3"), false,
		    "-device nvme,drive=scratch,serial=bifocal-scratch,write-cache=on,max_ioqpairs=3");
}

/* Two disks on q35's add-on IDE share one controller. */
static void test_one_ide_card(void **state)
{
	(void)state;
	struct config c = config_of(SETS("disk.bus=ide", "vm.boot=bios", "vm.boot_bus=ide"));
	char *line = line_of(&c, release(7, 2), false, &paths);
	const char *card = strstr(line, "piix3-ide");

	assert_non_null(card);
	assert_null(strstr(card + 1, "piix3-ide"));
	assert_non_null(strstr(line, "bus=pata.0,unit=0,drive=boot"));
	assert_non_null(strstr(line, "bus=pata.1,unit=0,drive=scratch"));
	free(line);
}

static void test_caches(void **state)
{
	(void)state;
	static const char *const cases[][4] = {
		{ "disk.cache=none", "cache.direct=on,cache.no-flush=off", "write-cache=on" },
		{ "disk.cache=writeback", "cache.direct=off,cache.no-flush=off", "write-cache=on" },
		{ "disk.cache=writethrough", "cache.direct=off,cache.no-flush=off", "write-cache=off" },
		{ "disk.cache=directsync", "cache.direct=on,cache.no-flush=off", "write-cache=off" },
		{ "disk.cache=unsafe", "cache.direct=off,cache.no-flush=on", "write-cache=on" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_part(SETS(cases[i][0]), false, cases[i][1]);
		assert_part(SETS(cases[i][0]), false, cases[i][2]);
	}
}

static void test_rest(void **state)
{
	(void)state;
	assert_part(SETS("disk.aio=io_uring"), false, "aio=io_uring,");
	assert_part(SETS("disk.format=qcow2"), false, "-blockdev driver=qcow2,node-name=scratch,file=scratch-file,");
	assert_part(SETS("disk.backend=null-co", "disk.latency=100us", "disk.size=1m"), false,
		    "-blockdev driver=null-co,node-name=scratch,size=1048576,read-zeroes=on,latency-ns=100000 -device");
	assert_part(SETS("vm.icount=on"), false, "-accel tcg,thread=single -icount shift=0,sleep=off");
	assert_part(SETS("vm.cpu_model=EPYC-v3,+invtsc"), true, "-cpu EPYC-v3,+invtsc ");
	assert_part(SETS("guest.idle=poll", "vm.console=on"), false, "-append quiet idle=poll bifocal.console=1 console=ttyS0 -blockdev");
}

static void test_paths_with_commas(void **state)
{
	(void)state;
	struct config c = config_of(NULL);
	struct vm_paths p = paths;

	snprintf(p.scratch, sizeof(p.scratch), "/a,b=on/scratch");
	snprintf(p.cmdline, sizeof(p.cmdline), "quiet console=ttyS0,115200");
	char *line = line_of(&c, release(8, 2), false, &p);
	assert_non_null(strstr(line, "filename=/a,,b=on/scratch "));
	/* -append is no option list: nothing to escape there. */
	assert_non_null(strstr(line, "-append quiet console=ttyS0,115200 "));
	free(line);
}

static void test_versions(void **state)
{
	(void)state;
	struct qemu_info q;

	assert_int_equal(qemu_parse_version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright\n", &q), 0);
	assert_int_equal(q.major, 7);
	assert_int_equal(q.minor, 2);
	assert_string_equal(q.version, "7.2.22 (Debian 1:7.2+dfsg-7)");
	assert_int_equal(qemu_parse_version("QEMU emulator version 10.0.50\n", &q), 0);
	assert_int_equal(q.major * 100 + q.minor, 1000);
	assert_int_equal(qemu_parse_version("", &q), -1);
	assert_int_equal(qemu_parse_version("QEMU emulator version", &q), -1);
	assert_int_equal(qemu_parse_version("QEMU emulator version x.y\n", &q), -1);
	assert_int_equal(qemu_parse_version("bash version 5.2.15\n", &q), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_releases),
		cmocka_unit_test(test_kvm),
		cmocka_unit_test(test_uefi),
		cmocka_unit_test(test_buses),
		cmocka_unit_test(test_one_ide_card),
		cmocka_unit_test(test_caches),
		cmocka_unit_test(test_rest),
		cmocka_unit_test(test_paths_with_commas),
		cmocka_unit_test(test_versions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
