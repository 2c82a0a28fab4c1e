/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tracefs: what its files say, whose things are whose, a real instance with real events, and what a sweep takes and leaves. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "host/trace/owner.h"
#include "host/trace/pages.h"
#include "host/trace/tracefs.h"
#include "host/trace/vantage.h"

static void test_stats(void **state)
{
	(void)state;
	struct tracefs_stats s;

	tracefs_parse_stats("entries: 12\noverrun: 3\ncommit overrun: 4\nbytes: 900\noldest event ts:     7.5\nnow ts: 8\ndropped events: 5\nread events: 40\n", &s);
	assert_int_equal(s.entries, 12);
	assert_int_equal(s.overrun, 12);
	assert_int_equal(s.read, 40);
	tracefs_parse_stats("", &s);
	assert_int_equal(s.entries + s.overrun + s.read, 0);
	tracefs_parse_stats("overrun: \nread events: x", &s);
	assert_int_equal(s.overrun + s.read, 0);
}

static void test_page_size(void **state)
{
	(void)state;
	assert_int_equal(tracefs_parse_page_size("\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n"), 4096);
	assert_int_equal(tracefs_parse_page_size("\tfield: char data;\toffset:16;\tsize:16368;\tsigned:0;\n"), 16384);
	assert_int_equal(tracefs_parse_page_size("\tfield: char data;\toffset:16;\tsize:99999999;\tsigned:0;\n"), 0);
	assert_int_equal(tracefs_parse_page_size("\tfield: char data;\toffset:0;\tsize:4080;\n"), 0);
	assert_int_equal(tracefs_parse_page_size(""), 0);
}

static void test_owner(void **state)
{
	(void)state;
	char text[OWNER_TEXT_MAX], name[80];
	struct owner o;

	snprintf(name, sizeof(name), "bifocal-%s-host", owner_text('-', text));
	assert_true(owner_parse(name, OWNER_INSTANCE_PREFIX, '-', &o));
	assert_int_equal(o.pid, getpid());
	assert_true(owner_lives(&o));
	o.start++;
	assert_false(owner_lives(&o));
	assert_true(owner_parse("bifocal_7_99/virtio", OWNER_GROUP_PREFIX, '_', &o));
	assert_int_equal(o.start, 99);
	assert_false(owner_parse("bifocal-7", OWNER_INSTANCE_PREFIX, '-', &o));
	assert_false(owner_parse("bifocal-7-", OWNER_INSTANCE_PREFIX, '-', &o));
	assert_false(owner_parse("bifocal-7-9x", OWNER_INSTANCE_PREFIX, '-', &o));
	assert_false(owner_parse("bifocal-x-9", OWNER_INSTANCE_PREFIX, '-', &o));
	assert_false(owner_parse("bifocal--7-9", OWNER_INSTANCE_PREFIX, '-', &o));
	assert_false(owner_parse("bifocal-99999999999-9", OWNER_INSTANCE_PREFIX, '-', &o));
	assert_false(owner_parse("bif", OWNER_INSTANCE_PREFIX, '-', &o));
}

/* ---- a made-up root ---- */

static void path_in(const struct tracefs *t, const char *file, char dst[300])
{
	snprintf(dst, 300, "%s/%s", t->root, file);
}

static void make_dir(const struct tracefs *t, const char *file)
{
	char path[300];

	path_in(t, file, path);
	assert_int_equal(mkdir(path, 0700), 0);
}

static bool there(const struct tracefs *t, const char *file)
{
	char path[300];

	path_in(t, file, path);
	return access(path, F_OK) == 0;
}

static void fill(const struct tracefs *t, const char *file, const char *text)
{
	char path[300];

	path_in(t, file, path);
	autofclose FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
}

/* A pid that is nobody's. */
static pid_t dead_pid(void)
{
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	return child;
}

static void test_sweep_of_a_made_up_root(void **state)
{
	(void)state;
	struct tracefs t = { .root = "/tmp/bftrace-XXXXXX" };
	char dead[80], far[80], ours[80], self[OWNER_TEXT_MAX], path[300], lines[400];
	pid_t gone = dead_pid();

	assert_non_null(mkdtemp(t.root));
	make_dir(&t, "instances");
	snprintf(dead, sizeof(dead), "instances/bifocal-%d-5-host", (int)gone);
	snprintf(far, sizeof(far), "instances/bifocal-%d-6-host", (int)gone);
	snprintf(ours, sizeof(ours), "instances/bifocal-%s-host", owner_text('-', self));
	make_dir(&t, dead);
	make_dir(&t, far);
	make_dir(&t, ours);
	make_dir(&t, "instances/somebody");
	make_dir(&t, "instances/bifocal-of-somebody");
	/* The one in another PID namespace is seen by its lock. */
	path_in(&t, far, path);
	int lock = open(path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	snprintf(lines, sizeof(lines), "p:theirs/x /bin/true:0x10\np:bifocal_%d_6/x /bin/true:0x10\np:bifocal_%s/x /bin/true:0x10\np:bifocal_%d_5/gone /bin/true:0x10\n",
		 (int)gone, owner_text('_', self), (int)gone);
	fill(&t, "uprobe_events", lines);

	assert_int_equal(tracefs_sweep(&t), 2);
	assert_false(there(&t, dead));
	assert_true(there(&t, far));
	assert_true(there(&t, ours));
	assert_true(there(&t, "instances/somebody"));
	assert_true(there(&t, "instances/bifocal-of-somebody"));
	/* Of the probes one was asked to go: that of the dead owner without an instance. */
	autofree char *now = tracefs_text(t.root, "uprobe_events", NULL);
	snprintf(path, sizeof(path), "-:bifocal_%d_5/gone", (int)gone);
	assert_non_null(now);
	assert_memory_equal(now, path, strlen(path));

	close(lock);
	fill(&t, "uprobe_events", "");
	assert_int_equal(tracefs_sweep(&t), 1);
	assert_false(there(&t, far));
	snprintf(path, sizeof(path), "rm -rf '%s'", t.root);
	assert_int_equal(system(path), 0);
}

static void test_bounded_text(void **state)
{
	(void)state;
	struct error err = { 0 };

	assert_null(tracefs_text("/dev", "zero", &err));
	assert_int_equal(err.code, ERR_LIMIT);
	err = (struct error){ 0 };
	assert_null(tracefs_text("/nowhere", "at/all", &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(tracefs_put("/nowhere", "at/all", "1", &err), -1);
}

/* ---- the real one ---- */

static bool find_real(struct tracefs *t)
{
	struct error err = { 0 };

	if (tracefs_find(t, true, &err) == 0 && tracefs_has_tsc(t))
		return true;
	print_message("# skipped: %s\n", err.text[0] ? err.text : "the kernel has no clock x86-tsc");
	return false;
}

static void make_real(struct tracefs_instance *i, const struct tracefs *t, const char *what)
{
	struct error err = { 0 };

	if (tracefs_instance_make(i, t, what, &err))
		fail_msg("%s", err.text);
}

struct seen { unsigned pages, records, half_full; uint64_t first, last; };

static void drain(struct tracefs_instance *i, struct seen *s)
{
	struct error err = { 0 };
	autofree uint8_t *page = malloc(i->page);
	size_t len;
	int rc;

	for (unsigned c = 0; c < i->cpus; c++) {
		while ((rc = tracefs_instance_page(i, c, page, &err)) == 1) {
			struct page_walk w;
			assert_true(page_open(&w, page, i->page));
			s->pages++;
			while (page_next(&w, &len)) {
				s->records++;
				s->first = !s->first || w.time < s->first ? w.time : s->first;
				s->last = w.time > s->last ? w.time : s->last;
			}
			assert_false(w.bad);
		}
		if (rc)
			fail_msg("%s", err.text);
	}
}

static void get_pids(int n)
{
	for (int k = 0; k < n; k++)
		syscall(SYS_getppid);
}

static void count_half_full(void *ctx, unsigned index)
{
	(void)index;
	((struct seen *)ctx)->half_full++;
}

static void test_real_instance(void **state)
{
	(void)state;
	enum { CALLS = 50 };
	struct tracefs t;
	struct tracefs_instance i;
	struct seen s = { 0 };
	struct error err = { 0 };

	if (!find_real(&t))
		return;
	if (!tracefs_has_event(&t, "raw_syscalls:sys_enter")) {
		print_message("# skipped: no raw_syscalls:sys_enter in this kernel\n");
		return;
	}
	assert_false(tracefs_has_event(&t, "raw_syscalls:sys_nothing"));
	make_real(&i, &t, "test");
	char filter[64], path[sizeof(i.path)];
	snprintf(filter, sizeof(filter), "id == %d", SYS_getppid);
	assert_int_equal(tracefs_instance_size(&i, 64 << 10, &err), 0);
	if (tracefs_instance_process(&i, getpid(), &err) || tracefs_instance_enable(&i, "raw_syscalls:sys_enter", filter, &err))
		fail_msg("%s", err.text);
	get_pids(3);
	drain(&i, &s);
	assert_int_equal(s.records, 0);         /* not switched on yet */

	uint64_t before = __builtin_ia32_rdtsc();
	assert_int_equal(tracefs_instance_on(&i, true, &err), 0);
	get_pids(CALLS);
	tracefs_instance_half_full(&i, count_half_full, &s);
	/* A thread that starts now is followed too. */
	pid_t child = fork();
	if (child == 0) {
		get_pids(CALLS);
		_exit(0);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(tracefs_instance_on(&i, false, &err), 0);
	uint64_t after = __builtin_ia32_rdtsc();
	get_pids(3);
	drain(&i, &s);
	assert_int_equal(s.records, 2 * CALLS);
	assert_int_equal(s.half_full, 0);
	assert_true(s.pages >= 1);
	/* The stamps are the TSC that everybody reads. */
	assert_true(s.first > before && s.last < after && s.first < s.last);
	snprintf(path, sizeof(path), "%s", i.path);
	tracefs_instance_remove(&i);
	assert_int_not_equal(access(path, F_OK), 0);
	tracefs_instance_remove(&i);
}

static void test_real_overrun(void **state)
{
	(void)state;
	enum { CALLS = 20000 };
	struct tracefs t;
	struct tracefs_instance i;
	struct tracefs_stats st;
	struct seen s = { 0 };
	struct error err = { 0 };
	uint64_t lost = 0, read = 0;

	if (!find_real(&t) || !tracefs_has_event(&t, "raw_syscalls:sys_enter"))
		return;
	make_real(&i, &t, "test");
	char filter[64];
	snprintf(filter, sizeof(filter), "id == %d", SYS_getppid);
	assert_int_equal(tracefs_instance_size(&i, 16 << 10, &err), 0);
	if (tracefs_instance_process(&i, getpid(), &err) || tracefs_instance_enable(&i, "raw_syscalls:sys_enter", filter, &err))
		fail_msg("%s", err.text);
	tracefs_instance_on(&i, true, &err);
	get_pids(CALLS);
	tracefs_instance_half_full(&i, count_half_full, &s);
	tracefs_instance_on(&i, false, &err);
	assert_true(s.half_full >= 1);
	drain(&i, &s);
	for (unsigned c = 0; c < i.cpus; c++) {
		assert_int_equal(tracefs_instance_stats(&i, c, &st, &err), 0);
		lost += st.overrun;
		read += st.read;
	}
	assert_int_equal(read, s.records);
	assert_int_equal(lost + read, CALLS);
	assert_true(lost > 0);
	tracefs_instance_remove(&i);
}

static void test_process_that_ended(void **state)
{
	(void)state;
	struct tracefs t;
	struct tracefs_instance i;
	struct error err = { 0 };

	if (!find_real(&t))
		return;
	make_real(&i, &t, "test");
	assert_int_equal(tracefs_instance_process(&i, dead_pid(), &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	tracefs_instance_remove(&i);
}

/* Whoever is killed in the window leaves an instance with its events on; the next start removes it. */
static void test_killed_owner(void **state)
{
	(void)state;
	struct tracefs t;
	struct tracefs_instance i;
	struct error err = { 0 };
	char path[sizeof(i.path)] = "", byte;
	int up[2];

	if (!find_real(&t))
		return;
	assert_int_equal(pipe(up), 0);
	pid_t child = fork();
	if (child == 0) {
		if (tracefs_instance_make(&i, &t, "test", &err) || tracefs_instance_enable(&i, "sched:sched_switch", NULL, &err) ||
		    tracefs_instance_on(&i, true, &err) || write(up[1], i.path, sizeof(path)) < 0)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(up[0], path, sizeof(path)), sizeof(path));
	trace_sweep();
	assert_int_equal(access(path, F_OK), 0);        /* its owner lives */
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	autofree char *on = tracefs_text(path, "events/sched/sched_switch/enable", NULL);
	assert_non_null(on);
	assert_int_equal(on[0], '1');
	assert_true(trace_sweep() >= 1);
	assert_int_not_equal(access(path, F_OK), 0);
	close(up[1]);
	assert_int_equal(read(up[0], &byte, 1), 0);
	close(up[0]);
}

/* What another user is told. */
static void test_not_root(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("# skipped: not root, so nobody to become\n");
		return;
	}
	pid_t child = fork();
	if (child == 0) {
		struct tracefs t;
		struct error err = { 0 };
		if (setgid(65534) || setuid(65534))
			_exit(2);
		_exit(tracefs_find(&t, true, &err) == -1 && err.code == ERR_REFUSED && strstr(err.text, "run as root") && !t.root[0] &&
		      trace_sweep() == 0 ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stats),
		cmocka_unit_test(test_page_size),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_sweep_of_a_made_up_root),
		cmocka_unit_test(test_bounded_text),
		cmocka_unit_test(test_real_instance),
		cmocka_unit_test(test_real_overrun),
		cmocka_unit_test(test_process_that_ended),
		cmocka_unit_test(test_killed_owner),
		cmocka_unit_test(test_not_root),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
