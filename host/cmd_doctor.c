/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bifocal doctor: what this node offers, what is missing, and the remedy for each.
 *
 * --json prints { "ok": a run is possible, "accel": "kvm" or "tcg", "version": of bifocal,
 *   "checks": [ { "name", "status": "ok", "note" or "missing", "needed": a run needs it, "text", "remedy": text or null } ] }.
 * "note" is something that works, yet less well than it could.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/units.h"
#include "common/version.h"
#include "host/args.h"
#include "host/cmd.h"
#include "host/json.h"
#include "host/paths.h"
#include "host/term.h"
#include "host/trace/tracefs.h"
#include "host/vm/accel.h"
#include "host/vm/image.h"
#include "host/vm/qemu.h"
#include "host/vm/rundir.h"
#include "host/vm/scratch.h"
#include "store/store.h"

enum status { OK, NOTE, MISSING };

static const char *const status_names[] = { "ok", "note", "missing" };

enum { CHECKS_MAX = 32 };

struct check {
	const char *name;
	enum status status;
	bool needed;
	char text[400];
	char remedy[400];
};

struct report {
	const struct config *config;
	struct check check[CHECKS_MAX];
	size_t n;
	bool kvm;
};

static struct check *add(struct report *r, const char *name, enum status status, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static struct check *add(struct report *r, const char *name, enum status status, const char *fmt, ...)
{
	struct check *c = &r->check[r->n < CHECKS_MAX ? r->n++ : CHECKS_MAX - 1];
	va_list ap;

	*c = (struct check){ .name = name, .status = status };
	va_start(ap, fmt);
	vsnprintf(c->text, sizeof(c->text), fmt, ap);
	va_end(ap);
	return c;
}

static void remedy(struct check *c, const char *text)
{
	snprintf(c->remedy, sizeof(c->remedy), "%s", text);
}

/* An error's text is "what: where; remedy": the last part stands on its own here. */
static struct check *add_error(struct report *r, const char *name, const struct error *err)
{
	const char *cut = strstr(err->text, "; ");
	int len = cut ? (int)(cut - err->text) : (int)strlen(err->text);
	struct check *c = add(r, name, MISSING, "%.*s", len, err->text);

	if (cut)
		remedy(c, cut + 2);
	return c;
}

/* ---- what a run needs ---- */

static void check_qemu(struct report *r)
{
	struct qemu_info q;
	struct error err = { 0 };

	if (qemu_probe(r->config, &q, &err))
		add_error(r, "qemu", &err)->needed = true;
	else
		add(r, "qemu", OK, "QEMU %s, %s", q.version, q.path)->needed = true;
}

static void check_image(struct report *r)
{
	struct vm_paths paths = { 0 };
	struct error err = { 0 };
	char dir[300] = "", version[128];

	if (image_find(r->config, &paths, &err)) {
		add_error(r, "image", &err)->needed = true;
		return;
	}
	image_dir(r->config, dir, sizeof(dir), NULL);
	image_version(dir, version, sizeof(version));
	add(r, "image", OK, "%s, version %s", dir, version[0] ? version : "not noted")->needed = true;
}

static void check_place(struct report *r)
{
	struct rundir_need need = scratch_need(r->config);
	struct rundir dir;
	struct statvfs fs = { 0 };
	struct error err = { 0 };
	char room[32];

	if (rundir_make(&need, &dir, &err)) {
		add_error(r, "place", &err)->needed = true;
		return;
	}
	statvfs(dir.path, &fs);
	uint64_t bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	int unit = bytes >> 30 ? 30 : 20;     /* whole GiB, or whole MiB */
	format_size(bytes >> unit << unit, room, sizeof(room));
	add(r, "place", OK, "run directories and scratch disks go to %.*s: %s free%s", (int)(strrchr(dir.path, '/') - dir.path), dir.path,
	    room, need.direct ? ", O_DIRECT works" : "")->needed = true;
	rundir_remove(&dir);
}

/* The directory that is there already among the database's path and its parents. */
static void existing_parent(char *path)
{
	while (access(path, F_OK) && strchr(path + 1, '/'))
		*strrchr(path, '/') = '\0';
}

static void check_database(struct report *r, const char *option)
{
	struct error err = { 0 };
	autofree char *path = path_database(option, &err);
	autofree char *parent = path ? strdup(path) : NULL;

	if (!parent) {
		add_error(r, "database", &err)->needed = true;
		return;
	}
	existing_parent(parent);
	/* One that is there must open: it may be a newer version's, or damaged. */
	struct store *s = strcmp(parent, path) ? NULL : store_open(path, STORE_READ, &err);
	store_close(s);
	struct check *c;
	if (err.code)
		c = add_error(r, "database", &err);
	else if (access(parent, W_OK) == 0)
		c = add(r, "database", OK, "%s", path);
	else
		c = add(r, "database", MISSING, "%s: cannot write in %s: %s", path, parent, strerror(errno));
	c->needed = true;
	if (c->status == MISSING && !c->remedy[0])
		remedy(c, "name another place with --db PATH or $BIFOCAL_DB");
}

static void check_accel(struct report *r)
{
	struct accel_choice choice;
	struct error err = { 0 };

	if (accel_choose(r->config, false, &choice, &err)) {
		add_error(r, "accelerator", &err)->needed = true;
		return;
	}
	r->kvm = choice.kvm;
	struct check *c = add(r, "accelerator", choice.kvm ? OK : NOTE, "%s", choice.why);
	if (!choice.kvm)
		remedy(c, "runs work, yet what they show is mostly the emulator; this node's own figures take KVM");
}

/* ---- what makes a run better ---- */

static void check_cpu(struct report *r)
{
	bool vmx = cpu_has_flag("", "vmx"), svm = cpu_has_flag("", "svm");
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (vmx || svm)
		add(r, "cpu", OK, "%ld CPUs with %s", n, vmx ? "vmx" : "svm");
	else
		remedy(add(r, "cpu", NOTE, "%ld CPUs, neither vmx nor svm among their flags", n),
		       "enable virtualisation in the firmware, or nested virtualisation in the host of this machine");
}

static void check_dev_kvm(struct report *r)
{
	if (access("/dev/kvm", R_OK | W_OK) == 0)
		add(r, "/dev/kvm", OK, "opens for reading and writing");
	else
		remedy(add(r, "/dev/kvm", NOTE, "%s", strerror(errno)),
		       errno == EACCES ? "join group kvm" : "modprobe kvm_intel or kvm_amd");
}

static void read_word(const char *path, char *dst, size_t cap)
{
	autofclose FILE *f = fopen(path, "re");

	dst[0] = '\0';
	if (f && fgets(dst, (int)cap, f))
		dst[strcspn(dst, "\n")] = '\0';
}

static void check_tsc(struct report *r)
{
	bool constant = cpu_has_flag("", "constant_tsc"), nonstop = cpu_has_flag("", "nonstop_tsc");
	char source[64];

	read_word("/sys/devices/system/clocksource/clocksource0/current_clocksource", source, sizeof(source));
	bool good = constant && nonstop && strcmp(source, "tsc") == 0;
	struct check *c = add(r, "tsc", good ? OK : NOTE, "%s, %s; clocksource %s", constant ? "constant" : "not constant",
			      nonstop ? "does not stop when idle" : "may stop when idle", source[0] ? source : "unknown");
	if (!good)
		remedy(c, "figures in ns hold only as far as the TSC runs evenly; see the kernel's log for why it does not trust it");
}

static void check_firmware(struct report *r)
{
	struct vm_paths paths = { 0 };
	struct error err = { 0 };

	if (image_firmware(&paths, &err) == 0)
		add(r, "firmware", OK, "vm.boot=uefi: %s", paths.ovmf_code);
	else
		add_error(r, "firmware", &err)->status = NOTE;
}

static void check_program(struct report *r, const char *program, const char *use, const char *install)
{
	char path[300];

	if (program_find(program, path, sizeof(path)) == 0)
		add(r, program, OK, "%s", path);
	else
		remedy(add(r, program, NOTE, "not in PATH; %s", use), install);
}

static void check_mine(struct report *r)
{
	autofree char *path = path_program("bifocal-mine", NULL);

	if (path)
		add(r, "bifocal-mine", OK, "%s", path);
	else
		remedy(add(r, "bifocal-mine", NOTE, "not installed; this node collects, but draws no reports"), "make all, or copy the database to a node that has it");
}

/* ---- what shows where a request's time goes ---- */

static void check_guest_tracing(struct report *r)
{
	struct vm_paths paths = { 0 };
	struct error err = { 0 };

	if (strcmp(config_str(r->config, CFG_TRACE_GUEST), "off") == 0)
		remedy(add(r, "trace.guest", NOTE, "trace.guest=off; the guest's phases merge"), "--vm trace.guest=on");
	else if (image_find(r->config, &paths, &err))
		add_error(r, "trace.guest", &err)->status = NOTE;
	else
		add(r, "trace.guest", OK, "the image's kernel is traced in the guest, which needs nothing of this node");
}

static const char *vmm_source(const char *choice)
{
	return strcmp(choice, "auto") == 0 ? "USDT probes where QEMU has them, else its trace log" : choice;
}

static void check_vmm_tracing(struct report *r)
{
	const char *choice = config_str(r->config, CFG_TRACE_VMM);
	struct qemu_info q;
	struct error err = { 0 };

	if (strcmp(choice, "off") == 0)
		remedy(add(r, "trace.vmm", NOTE, "trace.vmm=off; QEMU's phases merge"), "--vm trace.vmm=auto");
	else if (qemu_probe(r->config, &q, &err))
		add_error(r, "trace.vmm", &err)->status = NOTE;
	else
		add(r, "trace.vmm", OK, "QEMU %u.%u: %s", q.major, q.minor, vmm_source(choice));
}

/* A run mounts tracefs where root may; so that it is not mounted yet is no fault. */
static bool is_mounted_by_run(const struct error *err)
{
	return geteuid() == 0 && err->code == ERR_NOT_FOUND && strstr(err->text, "not mounted");
}

static void check_host_tracing(struct report *r)
{
	struct tracefs t;
	struct error err = { 0 };
	char words[160] = "";

	if (!config_bool(r->config, CFG_TRACE_HOST)) {
		remedy(add(r, "trace.host", NOTE, "trace.host=off; phases of this node's kernel merge"), "--vm trace.host=on");
		return;
	}
	if (tracefs_find(&t, false, &err)) {
		if (is_mounted_by_run(&err))
			add(r, "trace.host", OK, "root; a run mounts tracefs");
		else
			add_error(r, "trace.host", &err)->status = NOTE;
		return;
	}
	if (!tracefs_has_tsc(&t)) {
		remedy(add(r, "trace.host", NOTE, "tracefs has no clock x86-tsc; phases of this node's kernel merge"), "boot a kernel that has it (3.13 or later)");
		return;
	}
	static const struct { const char *event, *without; } parts[] = {
		{ "syscalls:sys_enter_pread64", " system calls (CONFIG_FTRACE_SYSCALLS)" }, { "block:block_rq_issue", " block events (CONFIG_BLK_DEV_IO_TRACE)" },
		{ "kvm:kvm_exit", " KVM's events (modprobe kvm)" },
	};
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if ((i < 2 || r->kvm) && !tracefs_has_event(&t, parts[i].event))
			snprintf(words + strlen(words), sizeof(words) - strlen(words), "%s%s", words[0] ? "," : "", parts[i].without);
	if (words[0])
		remedy(add(r, "trace.host", NOTE, "%s, without%s", t.root, words), "a kernel with what stands in parentheses");
	else
		add(r, "trace.host", OK, "%s, clock x86-tsc, system calls and block events%s", t.root, r->kvm ? ", KVM's events" : "");
}

static void check_uprobes(struct report *r)
{
	struct tracefs t;
	struct error err = { 0 };
	char path[TRACEFS_ROOT_MAX + 16];

	if (tracefs_find(&t, false, &err)) {
		if (is_mounted_by_run(&err))
			add(r, "uprobes", OK, "root; known once a run has mounted tracefs");
		else
			add_error(r, "uprobes", &err)->status = NOTE;
		return;
	}
	snprintf(path, sizeof(path), "%s/uprobe_events", t.root);
	if (access(path, W_OK) == 0)
		add(r, "uprobes", OK, "QEMU's USDT probes can be used where it has them");
	else
		remedy(add(r, "uprobes", NOTE, "none, so QEMU's USDT probes cannot be used; its trace log can"), "a kernel with CONFIG_UPROBE_EVENTS");
}

static void check_kvm_debugfs(struct report *r)
{
	if (!r->kvm)
		return;
	if (access("/sys/kernel/debug/kvm", R_OK | X_OK) == 0)
		add(r, "kvm debugfs", OK, "readable: clocks can be related exactly");
	else if (geteuid() == 0)
		add(r, "kvm debugfs", OK, "root; a run mounts debugfs");
	else
		remedy(add(r, "kvm debugfs", NOTE, "%s: clocks are related by the other tiers", strerror(errno)), "run as root");
}

static void run_checks(struct report *r, const char *db)
{
	check_qemu(r);
	check_image(r);
	check_place(r);
	check_database(r, db);
	check_accel(r);
	check_cpu(r);
	check_dev_kvm(r);
	check_tsc(r);
	check_firmware(r);
	check_program(r, "qemu-img", "disk.format=qcow2 needs it", "install qemu-utils");
	check_mine(r);
	check_guest_tracing(r);
	check_vmm_tracing(r);
	check_host_tracing(r);
	check_uprobes(r);
	check_kvm_debugfs(r);
}

/* ---- telling ---- */

static bool can_run(const struct report *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->check[i].needed && r->check[i].status == MISSING)
			return false;
	return true;
}

static void tell_json(const struct report *r)
{
	json_t *checks = json_array();

	for (size_t i = 0; i < r->n; i++) {
		const struct check *c = &r->check[i];
		json_array_append_new(checks, json_pack("{s:s, s:s, s:b, s:s, s:s?}", "name", c->name, "status", status_names[c->status],
							"needed", c->needed, "text", c->text, "remedy", c->remedy[0] ? c->remedy : NULL));
	}
	json_print(json_pack("{s:b, s:s, s:s, s:o}", "ok", can_run(r), "accel", r->kvm ? "kvm" : "tcg", "version", BIFOCAL_VERSION,
			     "checks", checks));
}

static void tell_people(const struct report *r)
{
	static const char *const colours[] = { "\033[32m", "\033[33m", "\033[31m" };
	bool colour = term_colour(STDOUT_FILENO);

	for (size_t i = 0; i < r->n; i++) {
		const struct check *c = &r->check[i];
		printf("%s%-8s%s %-13s %s\n", colour ? colours[c->status] : "", status_names[c->status], colour ? "\033[0m" : "", c->name, c->text);
		if (c->remedy[0])
			printf("%-22s → %s\n", "", c->remedy);
	}
	printf("\n%s\n", can_run(r) ? "A run is possible here: bifocal run" : "A run is not possible here until what is missing is there.");
}

int cmd_doctor(int argc, char **argv, struct error *err)
{
	bool json = false;
	const char *db = NULL;
	struct args_list vm = { .n = 0 };
	const struct arg_option options[] = {
		{ "json", 0, ARG_FLAG, NULL, "one JSON object instead of a list", &json },
		{ "vm", 0, ARG_LIST, "KEY=VALUE", "check for this configuration (vm.qemu, vm.image, disk.size …)", &vm },
		{ "db", 0, ARG_TEXT, "PATH", "the database that runs would go to", &db },
		{ 0 },
	};
	const struct arg_spec spec = { "doctor", "", "what this node offers, what is missing, and the remedy for each", options, 0, 0, NULL };
	struct config config;
	struct args args;

	int rc = args_parse(&spec, argc, argv, &args, err);
	if (rc)
		return rc < 0 ? -1 : EXIT_DONE;
	config_default(&config);
	for (size_t i = 0; i < vm.n; i++)
		if (config_assign(&config, vm.item[i], err))
			return -1;
	if (config_check(&config, err))
		return -1;
	autofree struct report *r = calloc(1, sizeof(*r));
	if (!r)
		return error_set(err, ERR_LIMIT, "out of memory");
	r->config = &config;
	run_checks(r, db);
	if (json)
		tell_json(r);
	else
		tell_people(r);
	return can_run(r) ? EXIT_DONE : EXIT_FAILED;
}
