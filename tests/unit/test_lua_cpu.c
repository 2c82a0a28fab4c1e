/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plugins/cpu.lua in made-up worlds: two recordings of /proc, one behind the other. */
#include <limits.h>
#include <math.h>
#include <sys/stat.h>

#include "tests/unit/test_lua_world.h"

/* A root whose proc is a link that the test turns from one recording to the next. */
struct stage { char root[64], link[80]; };

static void stage_show(const struct stage *s, const char *recording)
{
	char target[PATH_MAX];
	snprintf(target, sizeof(target), "%s/tests/fixtures/lua/%s/proc", TEST_SRCDIR, recording);
	unlink(s->link);
	assert_int_equal(symlink(target, s->link), 0);
}

static void stage_init(struct stage *s)
{
	snprintf(s->root, sizeof(s->root), "/tmp/bifocal-test-lua-XXXXXX");
	assert_non_null(mkdtemp(s->root));
	snprintf(s->link, sizeof(s->link), "%s/proc", s->root);
	stage_show(s, "cpu-0");
}

static void stage_fini(const struct stage *s)
{
	unlink(s->link);
	rmdir(s->root);
}

static struct probe *load_cpu(enum probe_side side, const char *options, struct world *w)
{
	char source[16384];
	struct error e;
	FILE *f = fopen(TEST_SRCDIR "/plugins/cpu.lua", "rb");
	assert_non_null(f);
	size_t n = fread(source, 1, sizeof(source), f);
	fclose(f);
	struct probe *p = probe_new(side, "cpu.lua", source, n, options, &w->env, &e);
	if (!p)
		fail_msg("%s", e.text);
	return p;
}

static void call(int (*phase)(struct probe *, struct error *), struct probe *p)
{
	struct error e;
	if (phase(p, &e) < 0)
		fail_msg("%s", e.text);
}

static void assert_value(const struct world *w, const char *metric, const char *dims, double want)
{
	double got = world_value(w, metric, dims);
	if (!(fabs(got - want) <= 1e-9 * fabs(want)))
		fail_msg("%s{%s} is %g, not %g", metric, dims, got, want);
}

static void assert_silent(const struct world *w, const char *metric, const char *dims)
{
	assert_true(isnan(world_value(w, metric, dims)));
}

static void shares_out_guest_time(void **state)
{
	(void)state;
	struct stage s;
	struct world w;
	struct error e;
	stage_init(&s);
	world_init(&w, s.root);
	struct probe *p = load_cpu(PROBE_GUEST, "", &w);
	assert_int_equal(probe_available(p, &e), 0);
	assert_int_equal(probe_interval_ns(p), 200000000);
	call(probe_start, p);
	assert_value(&w, "time", "cpu=0,mode=user", 100 * 1e7);
	assert_value(&w, "time", "cpu=0,mode=steal", 40 * 1e7);
	assert_silent(&w, "busy", "cpu=0");
	call(probe_sample, p);
	assert_silent(&w, "busy", "cpu=0");      /* no tick has passed */
	stage_show(&s, "cpu-1");
	w.n = 0;
	call(probe_sample, p);
	/* cpu0: user +30, nice +5, system +10, idle +20, iowait +1, irq +1, softirq +3, steal +20: 90 in all */
	assert_value(&w, "busy", "cpu=0", 100.0 * 49 / 90);
	assert_value(&w, "steal", "cpu=0", 100.0 * 20 / 90);
	assert_value(&w, "busy", "cpu=1", 100.0 * 15 / 25);
	assert_value(&w, "steal", "cpu=1", 0);
	assert_value(&w, "time", "cpu=2,mode=user", 7 * 1e7);
	assert_silent(&w, "busy", "cpu=2");      /* came online: nothing to compare with yet */
	call(probe_stop, p);
	assert_int_equal(w.n, 8 * 3 + 4 + 8 * 3);
	probe_free(p);
	stage_fini(&s);
}

static void show_threads(struct world *w, int worker)
{
	w->threads[0] = (struct probe_thread){ 400, "main", 0, "qemu-system-x86" };
	w->threads[1] = (struct probe_thread){ 401, "vcpu", 0, "CPU 0/KVM" };
	w->threads[2] = (struct probe_thread){ 402, "vcpu", 1, "CPU 1/KVM" };
	w->threads[3] = (struct probe_thread){ worker, "worker", 0, "worker" };
	w->threads[4] = (struct probe_thread){ 405, "iothread", 0, "IO io0" };
	w->threads[5] = (struct probe_thread){ 499, "worker", 0, "gone" };       /* ended before it is read */
	w->n_threads = 6;
}

static void sums_threads_by_role(void **state)
{
	(void)state;
	struct stage s;
	struct world w;
	stage_init(&s);
	world_init(&w, s.root);
	w.pid = 400;
	w.clock = 5000000000;
	show_threads(&w, 403);
	struct probe *p = load_cpu(PROBE_HOST, "interval=1s", &w);
	call(probe_start, p);
	assert_value(&w, "vmm_cpu", "role=vcpu", 0);     /* what ran before the start does not count */
	assert_value(&w, "vmm_cpu_process", "", 0);
	assert_silent(&w, "vmm_cpu_percent", "role=vcpu");
	stage_show(&s, "cpu-1");
	show_threads(&w, 404);
	w.clock += 1000000000;
	call(probe_sample, p);
	assert_value(&w, "vmm_cpu", "role=vcpu", 150000000);
	assert_value(&w, "vmm_cpu_percent", "role=vcpu", 15);
	assert_value(&w, "vmm_cpu", "role=main", 2000000);
	assert_value(&w, "vmm_cpu", "role=worker", 4000000);     /* the new one, all of it; the old one has ended */
	assert_value(&w, "vmm_cpu", "role=iothread", 20000000);  /* by ticks: no schedstat */
	assert_value(&w, "vmm_cpu_process", "", 400000000);
	/* 401 is another thread now, whose time starts again */
	stage_show(&s, "cpu-0");
	w.clock += 1000000000;
	call(probe_stop, p);
	assert_value(&w, "vmm_cpu", "role=vcpu", 150000000 + 500000000 + 200000000);
	assert_value(&w, "vmm_cpu_percent", "role=vcpu", 70);
	probe_free(p);
	stage_fini(&s);
}

static void says_nothing_without_a_vm(void **state)
{
	(void)state;
	struct world w;
	world_init(&w, "");
	struct probe *p = load_cpu(PROBE_HOST, "", &w);
	call(probe_start, p);
	call(probe_sample, p);
	call(probe_stop, p);
	assert_int_equal(w.n, 0);
	probe_free(p);
}

/* On the machine the test runs on: the figures exist, and this very process has used CPU. */
static void works_on_this_machine(void **state)
{
	(void)state;
	struct world w;
	struct error e;
	world_init(&w, "");
	w.env.clock = NULL;
	struct probe *p = load_cpu(PROBE_GUEST, "", &w);
	assert_int_equal(probe_available(p, &e), 0);
	call(probe_start, p);
	assert_true(world_value(&w, "time", "cpu=0,mode=idle") >= 0);
	probe_free(p);
	w.pid = getpid();
	w.threads[0] = (struct probe_thread){ getpid(), "main", 0, "test" };
	w.n_threads = 1;
	p = load_cpu(PROBE_HOST, "", &w);
	call(probe_start, p);
	for (int i = 0; i < 200 && !(world_value(&w, "vmm_cpu", "role=main") > 0); i++) {
		w.n = 0;
		call(probe_sample, p);
	}
	assert_true(world_value(&w, "vmm_cpu", "role=main") > 0);
	assert_true(world_value(&w, "vmm_cpu_percent", "role=main") > 0);
	probe_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_out_guest_time),
		cmocka_unit_test(sums_threads_by_role),
		cmocka_unit_test(says_nothing_without_a_vm),
		cmocka_unit_test(works_on_this_machine),
	};
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
