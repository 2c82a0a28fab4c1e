/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The launcher against the real QEMU with a kernel that only halts, and against QEMUs that misbehave. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/run/stop.h"
#include "host/vm/qemu.h"
#include "tests/fixtures/qemu_kernel.h"

#define FIXTURE(name) TEST_SRCDIR "/tests/fixtures/" name

static char top[64], runs[80], image[80];

/* ---- what is left behind ---- */

static int count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	assert_non_null(d);
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static int count_children(void)
{
	char path[64], text[4096] = "";

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	FILE *f = fopen(path, "r");
	if (!f)
		return waitpid(-1, NULL, WNOHANG) < 0 ? 0 : 1;
	size_t len = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	int n = 0;
	for (size_t i = 0; i < len; i++)
		n += text[i] == ' ';
	return n;
}

static void assert_nothing_left(void)
{
	assert_int_equal(count_entries(runs), 0);
	assert_int_equal(count_children(), 0);
}

/* ---- starting ---- */

static struct config base_config(void)
{
	struct config c;

	config_default(&c);
	assert_int_equal(config_set(&c, "vm.image", image, NULL), 0);
	assert_int_equal(config_set(&c, "vm.accel", "tcg", NULL), 0);
	assert_int_equal(config_set(&c, "vm.memory", "128m", NULL), 0);
	assert_int_equal(config_set(&c, "disk.size", "1m", NULL), 0);
	return c;
}

static void set(struct config *c, const char *key, const char *value)
{
	struct error err = { 0 };

	if (config_set(c, key, value, &err))
		fail_msg("%s=%s: %s", key, value, err.text);
}

static struct vm *start(const struct config *c)
{
	struct error err = { 0 };
	struct accel_choice accel;

	assert_int_equal(accel_choose(c, false, &accel, &err), 0);
	struct vm *v = vm_start(c, &accel, &err);
	if (!v)
		fail_msg("vm_start: %s", err.text);
	return v;
}

/* Starting must fail; what it says must hold `words`. */
static void start_fails(const struct config *c, enum err_code code, const char *words)
{
	struct error err = { 0 };
	struct accel_choice accel = { .kvm = false };
	struct vm *v = vm_start(c, &accel, &err);

	assert_null(v);
	if (err.code != code || !strstr(err.text, words))
		fail_msg("code %d, wanted %d; \"%s\" should hold \"%s\"", err.code, code, err.text, words);
	assert_nothing_left();
}

static void assert_holds(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("\"%s\" should hold \"%s\"", text, words);
}

/* ---- the real QEMU ---- */

static void test_start_stop(void **state)
{
	(void)state;
	struct config c = base_config();
	struct error err = { 0 };
	struct stat st;
	struct vm *v = start(&c);
	const struct vm_paths *p = vm_paths(v);

	assert_int_equal(vm_alive(v, NULL), 1);
	assert_true(vm_pid(v) > 0);
	assert_int_equal(stat(p->dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(p->control, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(stat(p->data, &st), 0);
	assert_int_equal(stat(p->scratch, &st), 0);
	assert_int_equal(st.st_size, 1 << 20);
	assert_true(strlen(p->control) < sizeof(((struct sockaddr_un *)0)->sun_path));
	assert_holds(vm_command_line(v), "org.bifocal.control.0");
	assert_true(vm_qemu(v)->major >= 7);
	assert_int_equal(vm_stop(v, 5000, &err), 0);
	assert_int_equal(vm_alive(v, &err), 0);
	assert_holds(err.text, "exit 0");
	vm_free(v);
	assert_nothing_left();
}

static void test_free_kills(void **state)
{
	(void)state;
	struct config c = base_config();
	struct vm *v = start(&c);
	pid_t pid = vm_pid(v);

	vm_free(v);
	assert_int_equal(kill(pid, 0), -1);
	assert_nothing_left();
	vm_free(NULL);
}

static void test_qmp(void **state)
{
	(void)state;
	struct config c = base_config();
	struct error err = { 0 };
	struct vm *v = start(&c);
	char *out = NULL;

	assert_int_equal(vm_qmp(v, "query-status", NULL, &out, &err), 0);
	assert_holds(out, "\"running\":true");
	free(out);
	assert_int_equal(vm_qmp(v, "human-monitor-command", "{\"command-line\": \"info version\"}", &out, &err), 0);
	free(out);
	assert_int_equal(vm_qmp(v, "no-such-command", NULL, &out, &err), -1);
	assert_null(out);
	assert_holds(err.text, "no-such-command");
	assert_int_equal(vm_qmp(v, "query-status", "{broken", NULL, &err), -1);
	assert_int_equal(err.code, ERR_USAGE);
	/* The conversation goes on after each of these. */
	assert_int_equal(vm_qmp(v, "query-status", NULL, NULL, &err), 0);
	vm_free(v);
	assert_nothing_left();
}

/* The next event within five seconds; "" when none comes. */
static const char *wait_event(struct vm *v)
{
	static char name[VM_EVENT_MAX];

	name[0] = '\0';
	for (int i = 0; i < 500 && !vm_event(v, name); i++)
		usleep(10000);
	return name;
}

static void test_events(void **state)
{
	(void)state;
	struct config c = base_config();
	struct error err = { 0 };
	char name[VM_EVENT_MAX];
	struct vm *v = start(&c);

	while (vm_event(v, name))
		;
	assert_int_equal(vm_qmp(v, "stop", NULL, NULL, &err), 0);
	assert_string_equal(wait_event(v), "STOP");
	assert_int_equal(vm_qmp(v, "cont", NULL, NULL, &err), 0);
	assert_string_equal(wait_event(v), "RESUME");
	/* Nobody waits for an answer here: what comes by itself is found, too. */
	kill(vm_pid(v), SIGTERM);
	assert_string_equal(wait_event(v), "SHUTDOWN");
	assert_int_equal(vm_event(v, name), 0);
	vm_free(v);
	assert_nothing_left();
}

static size_t count_role(const struct probe_thread *t, size_t n, const char *role)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += strcmp(t[i].role, role) == 0;
	return found;
}

static void test_threads(void **state)
{
	(void)state;
	struct config c = base_config();
	struct probe_thread t[VM_THREADS_MAX];

	set(&c, "vm.cpus", "3");
	set(&c, "disk.iothread", "on");
	struct vm *v = start(&c);
	size_t n = vm_threads(v, t, VM_THREADS_MAX);
	assert_true(n >= 5);
	assert_true(count_role(t, n, "main") >= 1);
	assert_int_equal(count_role(t, n, "main") + count_role(t, n, "vcpu") + count_role(t, n, "iothread") + count_role(t, n, "worker"), n);
	assert_int_equal(count_role(t, n, "vcpu"), 3);
	assert_int_equal(count_role(t, n, "iothread"), 1);
	for (size_t i = 0; i < n; i++) {
		assert_true(t[i].name[0] != '\0');
		if (strcmp(t[i].role, "vcpu") == 0)
			assert_int_equal(t[i].name[4], '0' + t[i].index);      /* "CPU 2/TCG" */
	}
	assert_int_equal(vm_threads(v, t, 2), 2);
	vm_free(v);
}

/* Every bus, machine and cache the table offers, accepted by the QEMU that is installed; the disk is there under its names. */
static void check_disk(struct config *c)
{
	struct error err = { 0 };
	struct stat st;
	char *out = NULL;
	struct vm *v = start(c);

	assert_int_equal(vm_qmp(v, "query-named-block-nodes", "{\"flat\": true}", &out, &err), 0);
	assert_holds(out, "\"node-name\":\"scratch\"");
	if (strcmp(config_str(c, CFG_DISK_BACKEND), "file") == 0)
		assert_holds(out, "\"node-name\":\"scratch-file\"");
	free(out);
	/* Not a word of warning or deprecation. */
	assert_int_equal(stat(vm_paths(v)->qemu_log, &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(vm_stop(v, 5000, &err), 0);
	vm_free(v);
	assert_nothing_left();
}

static void test_every_bus(void **state)
{
	(void)state;
	static const char *const buses[] = { "virtio-blk", "virtio-scsi", "ahci", "ide", "nvme" };
	static const char *const machines[] = { "q35", "pc" };

	for (size_t m = 0; m < 2; m++) {
		for (size_t b = 0; b < 5; b++) {
			struct config c = base_config();
			set(&c, "vm.machine", machines[m]);
			set(&c, "disk.bus", buses[b]);
			check_disk(&c);
			set(&c, "vm.boot", "bios");
			set(&c, "vm.boot_bus", buses[b]);
			check_disk(&c);
		}
	}
}

static void test_every_cache(void **state)
{
	(void)state;
	static const char *const caches[] = { "none", "writeback", "writethrough", "directsync", "unsafe" };
	static const char *const aios[] = { "threads", "native", "io_uring" };

	for (size_t i = 0; i < 5; i++) {
		struct config c = base_config();
		set(&c, "disk.cache", caches[i]);
		check_disk(&c);
	}
	for (size_t i = 0; i < 3; i++) {
		struct config c = base_config();
		set(&c, "disk.aio", aios[i]);
		check_disk(&c);
	}
}

static void test_rest_of_the_keys(void **state)
{
	(void)state;
	static const char *const sets[][4][2] = {
		{ { "disk.format", "qcow2" } },
		{ { "disk.backend", "null-co" }, { "disk.latency", "100us" } },
		{ { "disk.queues", "2" }, { "vm.cpus", "2" }, { "disk.iothread", "on" } },
		{ { "disk.bus", "virtio-scsi" }, { "disk.queues", "2" }, { "disk.iothread", "on" } },
		{ { "disk.bus", "nvme" }, { "disk.queues", "2" } },
		{ { "vm.icount", "on" }, { "vm.cpus", "2" } },
		{ { "guest.idle", "poll" }, { "vm.console", "on" }, { "vm.cpu_model", "qemu64" } },
		{ { "vm.boot", "uefi" }, { "vm.boot_bus", "nvme" } },
	};

	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		struct config c = base_config();
		for (size_t k = 0; k < 4 && sets[i][k][0]; k++)
			set(&c, sets[i][k][0], sets[i][k][1]);
		check_disk(&c);
	}
}

static void test_elsewhere(void **state)
{
	(void)state;
	struct config c = base_config();
	char dir[96];

	snprintf(dir, sizeof(dir), "%s/else,where", top);
	assert_int_equal(mkdir(dir, 0700), 0);
	set(&c, "disk.dir", dir);
	struct vm *v = start(&c);
	assert_int_equal(count_entries(dir), 1);
	assert_holds(vm_paths(v)->scratch, dir);
	vm_free(v);
	assert_int_equal(count_entries(dir), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_nothing_left();
}

/* A collector that dies by SIGKILL: QEMU goes with it, and the next sweep removes what is left. */
static void test_collector_killed(void **state)
{
	(void)state;
	struct config c = base_config();
	int fds[2];
	pid_t qemu = 0;

	assert_int_equal(pipe(fds), 0);
	pid_t collector = fork();
	if (collector == 0) {
		struct vm *v = start(&c);
		qemu = vm_pid(v);
		if (write(fds[1], &qemu, sizeof(qemu)) != sizeof(qemu))
			_exit(1);
		pause();
	}
	assert_int_equal(read(fds[0], &qemu, sizeof(qemu)), sizeof(qemu));
	vm_sweep();
	assert_int_equal(count_entries(runs), 1);       /* alive: not touched */
	kill(collector, SIGKILL);
	waitpid(collector, NULL, 0);
	for (int i = 0; i < 500 && kill(qemu, 0) == 0; i++) {
		char path[40], state_text[200] = "";
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)qemu);
		FILE *f = fopen(path, "r");
		if (f && fgets(state_text, sizeof(state_text), f) && strstr(state_text, ") Z")) {
			fclose(f);
			break;                          /* a zombie that nobody reaps here is dead, too */
		}
		if (f)
			fclose(f);
		usleep(10000);
		assert_int_not_equal(i, 499);
	}
	assert_true(vm_sweep() >= 1);                   /* /var/tmp may hold other people's */
	assert_int_equal(count_entries(runs), 0);
	close(fds[0]);
	close(fds[1]);
}

/* ---- QEMUs that misbehave; files that are not there ---- */

static void test_faults_before_start(void **state)
{
	(void)state;
	struct config c = base_config();

	set(&c, "vm.qemu", "qemu-system-nowhere");
	start_fails(&c, ERR_NOT_FOUND, "install qemu-system-x86");
	c = base_config();
	set(&c, "vm.qemu", FIXTURE("qemu-old"));
	start_fails(&c, ERR_VERSION, "5.2.0");
	set(&c, "vm.qemu", FIXTURE("qemu-wordless"));
	start_fails(&c, ERR_VERSION, "not QEMU");
	c = base_config();
	set(&c, "vm.image", runs);
	start_fails(&c, ERR_NOT_FOUND, "make image");
	c = base_config();
	set(&c, "disk.dir", "/nowhere/at/all");
	start_fails(&c, ERR_NOT_FOUND, "disk.dir");
	c = base_config();
	set(&c, "disk.size", "16t");
	start_fails(&c, ERR_NO_SPACE, "disk.size");
	c = base_config();
	set(&c, "disk.aio", "native");
	set(&c, "disk.cache", "writeback");
	start_fails(&c, ERR_USAGE, "disk.aio");
}

static void test_image_of_another_version(void **state)
{
	(void)state;
	struct config c = base_config();
	char path[120];

	snprintf(path, sizeof(path), "%s/VERSION", image);
	assert_int_equal(write_file(path, "0.0.7 0123456789abcdef\n", 23), 0);
	start_fails(&c, ERR_VERSION, "0.0.7");
	unlink(path);
}

static void test_faults_after_start(void **state)
{
	(void)state;
	struct config c = base_config();

	set(&c, "vm.qemu", FIXTURE("qemu-dies"));
	start_fails(&c, ERR_FAILED, "cannot set up guest memory");
	set(&c, "vm.qemu", FIXTURE("qemu-garbage"));
	start_fails(&c, ERR_PROTOCOL, "no JSON object");
	set(&c, "vm.qemu", FIXTURE("qemu-impostor"));
	start_fails(&c, ERR_PROTOCOL, "greeting");
	set(&c, "vm.qemu", FIXTURE("qemu-mute"));
	set(&c, "vm.boot_timeout", "1s");
	start_fails(&c, ERR_TIMEOUT, "opened no socket in time");
	/* The real one, refusing. */
	c = base_config();
	set(&c, "vm.cpu_model", "no-such-model");
	start_fails(&c, ERR_FAILED, "no-such-model");
}

static void test_death_is_told(void **state)
{
	(void)state;
	struct config c = base_config();
	struct error err = { 0 };
	struct vm *v = start(&c);

	kill(vm_pid(v), SIGKILL);
	for (int i = 0; i < 500 && vm_alive(v, &err); i++)
		usleep(10000);
	assert_int_equal(vm_alive(v, &err), 0);
	assert_holds(err.text, "signal 9 (KILL)");
	assert_int_equal(vm_qmp(v, "query-status", NULL, NULL, &err), -1);
	vm_free(v);
	assert_nothing_left();
}

/* SIGINT while QEMU is waited for: over at once, nothing left. In a child, since the note stays taken. */
static void test_interrupted(void **state)
{
	(void)state;
	struct config c = base_config();
	const struct accel_choice accel = { .kvm = false };
	int status;

	set(&c, "vm.qemu", FIXTURE("qemu-mute"));
	set(&c, "vm.boot_timeout", "1h");
	pid_t collector = fork();
	if (collector == 0) {
		struct error err = { 0 };
		stop_watch();
		_exit(vm_start(&c, &accel, &err) ? 100 : (int)err.code);
	}
	for (int i = 0; i < 500 && count_entries(runs) == 0; i++)
		usleep(10000);
	kill(collector, SIGINT);
	assert_int_equal(waitpid(collector, &status, 0), collector);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), ERR_INTERRUPTED);
	assert_nothing_left();
}

/* ---- a world of its own ---- */

static int make_world(void **state)
{
	(void)state;
	snprintf(top, sizeof(top), "/var/tmp/bfvm-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	snprintf(runs, sizeof(runs), "%s/runs", top);
	snprintf(image, sizeof(image), "%s/image", top);
	if (mkdir(runs, 0700) || mkdir(image, 0700))
		return -1;
	unsetenv("XDG_RUNTIME_DIR");
	setenv("TMPDIR", runs, 1);
	return write_tiny_image(image);
}

static int remove_world(void **state)
{
	(void)state;
	static const char *const files[] = { "vmlinux", "initrd", "bifocal.img" };
	char path[120];

	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", image, files[i]);
		unlink(path);
	}
	return rmdir(image) || rmdir(runs) || rmdir(top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_stop),
		cmocka_unit_test(test_free_kills),
		cmocka_unit_test(test_qmp),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_every_bus),
		cmocka_unit_test(test_every_cache),
		cmocka_unit_test(test_rest_of_the_keys),
		cmocka_unit_test(test_elsewhere),
		cmocka_unit_test(test_collector_killed),
		cmocka_unit_test(test_faults_before_start),
		cmocka_unit_test(test_image_of_another_version),
		cmocka_unit_test(test_faults_after_start),
		cmocka_unit_test(test_death_is_told),
		cmocka_unit_test(test_interrupted),
	};
	return cmocka_run_group_tests(tests, make_world, remove_world);
}
