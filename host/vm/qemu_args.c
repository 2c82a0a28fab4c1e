/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's command line from the configuration: a pure function.
 *
 * The machine has what the measurement needs and nothing else: one virtio-serial controller with two ports, a serial console
 * into a file, QMP, the scratch disk, and the boot disk where one is wanted. Port number 0 of the
 * controller is a console's by QEMU's rule, so ours are 1 and 2.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/vm/qemu.h"

#define SCRATCH_SERIAL "bifocal-scratch"
#define DEFAULT_CMDLINE "quiet loglevel=3 panic=-1"

/* ---- releases ---- */

/*
 * In which releases a feature works: from `since` to before `until` (0: still there). All other options used here mean the same in
 * 7.0 to 10.x; what later releases took away (-no-acpi, short-form booleans, -chardev reconnect, virtio-blk's scsi=) is not used.
 */
static const struct {
	enum qemu_feature feature;
	unsigned since, until;           /* major * 100 + minor */
} releases[] = {
	{ QF_NO_HPET_OPTION, 0, 800 },   /* deprecated in 8.0, gone in 9.0 */
	{ QF_HPET_PROPERTY, 800, 0 },    /* its successor */
};

bool qemu_has(const struct qemu_info *q, enum qemu_feature f)
{
	unsigned v = q->major * 100 + q->minor;

	for (size_t i = 0; i < sizeof(releases) / sizeof(releases[0]); i++)
		if (releases[i].feature == f)
			return v >= releases[i].since && (!releases[i].until || v < releases[i].until);
	return false;
}

/* ---- the list under construction ---- */

struct line {
	const struct config *c;
	const struct qemu_info *q;
	const struct vm_paths *p;
	bool kvm;
	char **argv;
	size_t n;
	bool bad;                        /* sticky: out of memory, or more than VM_ARGS_MAX */
	bool has_pata;                   /* the add-on IDE controller is there */
};

static void add(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct line *l, const char *fmt, ...)
{
	va_list ap;
	char *s = NULL;

	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0 || l->n + 1 >= VM_ARGS_MAX) {
		if (n >= 0)
			free(s);
		l->bad = true;
		return;
	}
	l->argv[l->n++] = s;
	l->argv[l->n] = NULL;
}

void qemu_args_free(char *argv[])
{
	for (size_t i = 0; argv[i]; i++) {
		free(argv[i]);
		argv[i] = NULL;
	}
}

struct escaped { char text[660]; };

/* QEMU's option parser takes ",," for a comma in a value. */
static struct escaped escape(const char *path)
{
	struct escaped e;
	size_t o = 0;

	for (; *path && o + 3 < sizeof(e.text); path++) {
		if (*path == ',')
			e.text[o++] = ',';
		e.text[o++] = *path;
	}
	e.text[o] = '\0';
	return e;
}

static bool is(const struct line *l, enum config_key k, const char *value)
{
	return strcmp(config_str(l->c, k), value) == 0;
}

/* ---- machine ---- */

static bool uses_bus(const struct line *l, const char *bus)
{
	return is(l, CFG_DISK_BUS, bus) || (!is(l, CFG_VM_BOOT, "direct") && is(l, CFG_VM_BOOT_BUS, bus));
}

static void add_machine(struct line *l)
{
	bool uefi = is(l, CFG_VM_BOOT, "uefi");
	/* q35's AHCI controller costs the guest half a second of probing its six ports, used or not. */
	bool no_sata = is(l, CFG_VM_MACHINE, "q35") && !uses_bus(l, "ahci");

	/* An HPET is emulated in user space and only tempts the guest's clock; merging and core dumps of guest memory are noise. */
	add(l, "-machine");
	add(l, "%s%s%s,mem-merge=off,dump-guest-core=off%s", config_str(l->c, CFG_VM_MACHINE), no_sata ? ",sata=off" : "",
	    qemu_has(l->q, QF_HPET_PROPERTY) ? ",hpet=off" : "", uefi ? ",pflash0=ovmf-code,pflash1=ovmf-vars" : "");
	if (qemu_has(l->q, QF_NO_HPET_OPTION))
		add(l, "-no-hpet");
	if (!uefi)
		return;
	add(l, "-blockdev");
	add(l, "driver=file,node-name=ovmf-code,read-only=on,filename=%s", escape(l->p->ovmf_code).text);
	add(l, "-blockdev");
	add(l, "driver=file,node-name=ovmf-vars,filename=%s", escape(l->p->ovmf_vars).text);
}

static void add_accel(struct line *l)
{
	bool icount = config_bool(l->c, CFG_VM_ICOUNT);

	add(l, "-accel");
	if (l->kvm)
		add(l, "kvm");
	else
		add(l, "tcg,thread=%s", icount ? "single" : "multi");
	if (!icount)
		return;
	add(l, "-icount");
	add(l, "shift=0,sleep=off");
}

static void add_cpus(struct line *l)
{
	const char *model = config_str(l->c, CFG_VM_CPU_MODEL);

	/* Not migratable: then an invariant TSC of the host is shown to the guest. Emulation has none to show. It runs `rep movsb`
	 * byte by byte; without these two flags kernel and libc copy by words, which moves data over a port three times as fast. */
	if (strcmp(model, "auto") == 0)
		model = l->kvm ? "host,migratable=off" : "max,-erms,-fsrm";
	add(l, "-cpu");
	add(l, "%s", model);
	add(l, "-smp");
	add(l, "cpus=%llu", (unsigned long long)config_uint(l->c, CFG_VM_CPUS));
	add(l, "-m");
	add(l, "size=%lluM", (unsigned long long)(config_uint(l->c, CFG_VM_MEMORY) >> 20));
}

/* ---- the ways in and out ---- */

static void add_socket(struct line *l, const char *id, const char *path)
{
	add(l, "-chardev");
	add(l, "socket,id=%s,server=on,wait=off,path=%s", id, escape(path).text);
}

static void add_port(struct line *l, const char *id, const char *path, int nr)
{
	add_socket(l, id, path);
	add(l, "-device");
	add(l, "virtserialport,bus=ports.0,nr=%d,chardev=%s,name=org.bifocal.%s.0", nr, id, id);
}

static void add_channels(struct line *l)
{
	add_socket(l, "qmp", l->p->qmp);
	add(l, "-mon");
	add(l, "chardev=qmp,mode=control");
	add(l, "-chardev");
	add(l, "file,id=console,path=%s", escape(l->p->serial_log).text);
	add(l, "-serial");
	add(l, "chardev:console");
	add(l, "-device");
	add(l, "virtio-serial-pci,id=ports,max_ports=3");
	add_port(l, "control", l->p->control, 1);
	add_port(l, "data", l->p->data, 2);
}

/*
 * QEMU's own trace, where its log is to be read: the file is made at once where QEMU has the `log` backend, and stays empty until events
 * are switched on over QMP, so that it costs nothing before the window opens. Without the time stamps its lines say nothing.
 */
static void add_trace_log(struct line *l)
{
	/* A % in its name would be a template to QEMU. */
	if (!l->p->trace_log[0] || strchr(l->p->trace_log, '%') || (!is(l, CFG_TRACE_VMM, "auto") && !is(l, CFG_TRACE_VMM, "log")))
		return;
	add(l, "-msg");
	add(l, "timestamp=on");
	add(l, "-D");
	add(l, "%s", l->p->trace_log);
}

/* ---- disks ---- */

/* A disk's device: what goes on which controller. `options` starts with a comma or is "". */
struct disk {
	const char *role;                /* "boot", "scratch": also the block node's name */
	const char *bus;
	int unit;                        /* port of a controller that several disks share */
	const char *options;             /* of the disk itself */
	const char *queue_options;       /* of whatever has the queues: virtio-blk, virtio-scsi's controller, nvme */
};

static void add_ahci(struct line *l, const struct disk *d)
{
	/* q35 has an AHCI controller built in, under the name ide. */
	bool built_in = is(l, CFG_VM_MACHINE, "q35");

	if (!built_in) {
		add(l, "-device");
		add(l, "ich9-ahci,id=%s-ahci", d->role);
	}
	add(l, "-device");
	if (built_in)
		add(l, "ide-hd,bus=ide.%d,drive=%s%s", d->unit, d->role, d->options);
	else
		add(l, "ide-hd,bus=%s-ahci.0,drive=%s%s", d->role, d->role, d->options);
}

static void add_ide(struct line *l, const struct disk *d)
{
	/* pc has a PIIX3 built in; q35 takes the same chip as a card, at its legacy ports. */
	bool built_in = is(l, CFG_VM_MACHINE, "pc");

	if (!built_in && !l->has_pata) {
		add(l, "-device");
		add(l, "piix3-ide,id=pata");
		l->has_pata = true;
	}
	add(l, "-device");
	add(l, "ide-hd,bus=%s.%d,unit=0,drive=%s%s", built_in ? "ide" : "pata", d->unit, d->role, d->options);
}

static void add_disk(struct line *l, const struct disk *d)
{
	if (strcmp(d->bus, "ahci") == 0) {
		add_ahci(l, d);
	} else if (strcmp(d->bus, "ide") == 0) {
		add_ide(l, d);
	} else if (strcmp(d->bus, "virtio-scsi") == 0) {
		add(l, "-device");
		add(l, "virtio-scsi-pci,id=%s-hba%s", d->role, d->queue_options);
		add(l, "-device");
		add(l, "scsi-hd,bus=%s-hba.0,drive=%s%s", d->role, d->role, d->options);
	} else {
		add(l, "-device");
		add(l, "%s,drive=%s%s%s", strcmp(d->bus, "nvme") == 0 ? "nvme" : "virtio-blk-pci", d->role, d->options, d->queue_options);
	}
}

static void add_cmdline(struct line *l)
{
	const char *text = l->p->cmdline[0] ? l->p->cmdline : DEFAULT_CMDLINE;
	bool console = config_bool(l->c, CFG_VM_CONSOLE);

	add(l, "-append");
	add(l, "%s%s%s%s", text, is(l, CFG_GUEST_IDLE, "poll") ? " idle=poll" : "", console ? " bifocal.console=1" : "",
	    console && !strstr(text, "console=ttyS0") ? " console=ttyS0" : "");
}

/* The shipped image is never written: what the guest changes goes to a temporary overlay that QEMU unlinks at once. */
static void add_boot(struct line *l)
{
	if (is(l, CFG_VM_BOOT, "direct")) {
		add(l, "-kernel");
		add(l, "%s", l->p->kernel);
		add(l, "-initrd");
		add(l, "%s", l->p->initrd);
		add_cmdline(l);
		return;
	}
	add(l, "-boot");
	add(l, "strict=on");
	add(l, "-drive");
	add(l, "if=none,id=boot,format=raw,snapshot=on,file=%s", escape(l->p->disk_image).text);
	add_disk(l, &(struct disk){ "boot", config_str(l->c, CFG_VM_BOOT_BUS), 0, ",serial=bifocal-boot,bootindex=0", "" });
}

/* disk.cache as a block node has it; the third of its three switches, the write cache, belongs to the device. */
static const char *cache_options(const struct line *l)
{
	if (is(l, CFG_DISK_CACHE, "none") || is(l, CFG_DISK_CACHE, "directsync"))
		return ",cache.direct=on,cache.no-flush=off";
	if (is(l, CFG_DISK_CACHE, "unsafe"))
		return ",cache.direct=off,cache.no-flush=on";
	return ",cache.direct=off,cache.no-flush=off";
}

static void add_scratch_node(struct line *l)
{
	const char *cache = cache_options(l);

	add(l, "-blockdev");
	if (is(l, CFG_DISK_BACKEND, "null-co")) {
		add(l, "driver=null-co,node-name=scratch,size=%llu,read-zeroes=on,latency-ns=%llu",
		    (unsigned long long)config_uint(l->c, CFG_DISK_SIZE), (unsigned long long)config_uint(l->c, CFG_DISK_LATENCY));
		return;
	}
	add(l, "driver=file,node-name=scratch-file,aio=%s%s,filename=%s", config_str(l->c, CFG_DISK_AIO), cache,
	    escape(l->p->scratch).text);
	add(l, "-blockdev");
	add(l, "driver=%s,node-name=scratch,file=scratch-file%s", config_str(l->c, CFG_DISK_FORMAT), cache);
}

/* virtio-scsi alone writes its property with an underscore. */
static const char *queues_property(const char *bus)
{
	if (strcmp(bus, "virtio-scsi") == 0)
		return "num_queues";
	return strcmp(bus, "nvme") == 0 ? "max_ioqpairs" : "num-queues";
}

static void add_scratch(struct line *l)
{
	const char *bus = config_str(l->c, CFG_DISK_BUS);
	bool through = is(l, CFG_DISK_CACHE, "writethrough") || is(l, CFG_DISK_CACHE, "directsync");
	bool iothread = config_bool(l->c, CFG_DISK_IOTHREAD);
	uint64_t queues = config_uint(l->c, CFG_DISK_QUEUES);
	char options[80], queue_options[80], number[40] = "";

	add_scratch_node(l);
	if (iothread) {
		add(l, "-object");
		add(l, "iothread,id=iothread0");
	}
	if (queues)
		snprintf(number, sizeof(number), ",%s=%llu", queues_property(bus), (unsigned long long)queues);
	snprintf(queue_options, sizeof(queue_options), "%s%s", iothread ? ",iothread=iothread0" : "", number);
	snprintf(options, sizeof(options), ",serial=" SCRATCH_SERIAL ",write-cache=%s", through ? "off" : "on");
	add_disk(l, &(struct disk){ "scratch", bus, is(l, CFG_VM_BOOT, "direct") ? 0 : 1, options, queue_options });
}

int qemu_args(const struct config *c, const struct qemu_info *q, bool kvm, const struct vm_paths *p, char *argv[VM_ARGS_MAX], struct error *err)
{
	struct line l = { .c = c, .q = q, .p = p, .kvm = kvm, .argv = argv };

	argv[0] = NULL;
	add(&l, "%s", q->path);
	add(&l, "-name");
	add(&l, "bifocal,debug-threads=on");
	add(&l, "-no-user-config");
	add(&l, "-nodefaults");
	add(&l, "-no-reboot");
	add(&l, "-display");
	add(&l, "none");
	add_machine(&l);
	add_accel(&l);
	add_cpus(&l);
	add_channels(&l);
	add_trace_log(&l);
	add_boot(&l);
	add_scratch(&l);
	if (p->incoming[0]) {
		add(&l, "-incoming");
		add(&l, "unix:%s", p->incoming);
	}
	if (!l.bad)
		return 0;
	qemu_args_free(argv);
	return error_set(err, ERR_LIMIT, "QEMU's command line: more than %d arguments, or out of memory", VM_ARGS_MAX - 1);
}
