// SPDX-License-Identifier: GPL-2.0-or-later
/* Ports that are missing, doubled, late; hosts that go away and come back. UNIX sockets stand for virtio ports. */
#include "tests/scenario/test_guest_script.h"

struct world {
	struct script s;
	int listener[2];
	int log;                       /* the agent's stderr */
	char text[16384];
	size_t n;
};

static int listen_at(const char *root, const char *device)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/dev/%s", root, device);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static void put_name(const struct world *w, const char *device, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "sys/class/virtio-ports/%s/name", device);
	put_file(w->s.root, path, name);
}

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	script_init(&w->s);
	w->listener[0] = listen_at(w->s.root, "vport0p1");
	w->listener[1] = listen_at(w->s.root, "vport0p2");
}

static void start(struct world *w)
{
	int p[2];
	char *argv[] = { NULL, (char[]){ "--root" }, w->s.root, NULL };

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	int keep = dup(STDERR_FILENO);
	dup2(p[1], STDERR_FILENO);
	w->s.pid = start_agent(argv, NULL, 0);
	dup2(keep, STDERR_FILENO);
	close(keep);
	close(p[1]);
	w->log = p[0];
	fcntl(w->log, F_SETFL, O_NONBLOCK);
}

static void take_call(struct world *w, int i)
{
	int fd = accept(w->listener[i], NULL, NULL);

	assert_true(fd >= 0);
	script_open(&w->s, i, fd);
}

static void world_fini(struct world *w)
{
	script_end(&w->s);
	close(w->listener[0]);
	close(w->listener[1]);
	close(w->log);
}

static void await_words(struct world *w, const char *words)
{
	uint64_t end = monotonic_ns() + SCRIPT_PATIENCE_MS * 1000000ULL;

	while (!strstr(w->text, words)) {
		struct pollfd f = { .fd = w->log, .events = POLLIN };
		poll(&f, 1, 100);
		ssize_t n = read(w->log, w->text + w->n, sizeof(w->text) - 1 - w->n);
		if (n > 0)
			w->n += (size_t)n;
		if (n == 0 || monotonic_ns() > end)
			fail_msg("the agent did not say \"%s\", but:\n%s", words, w->text);
	}
}

static void test_found_by_name(void **state)
{
	(void)state;
	struct world w;

	world_init(&w);
	put_name(&w, "vport0p1", "org.bifocal.control.0\n");
	put_name(&w, "vport0p2", "org.bifocal.data.0\n");
	put_name(&w, "vport0p3", "com.redhat.spice.0\n");
	start(&w);
	take_call(&w, 0);
	take_call(&w, 1);
	script_greet(&w.s);
	assert_string_equal(w.s.ports, "org.bifocal.control.0 org.bifocal.data.0");
	script_run(&w.s, 1, "rw=randread bs=4k direct=0 number_ios=100 runtime=0 ramp_time=0");
	assert_true(w.s.drained_on_data);
	world_fini(&w);
}

static void test_missing_name(void **state)
{
	(void)state;
	struct world w;

	world_init(&w);
	put_name(&w, "vport0p3", "com.redhat.spice.0\n");
	start(&w);
	await_words(&w, "error: no virtio port is named org.bifocal.control.0 (other ports: com.redhat.spice.0)");
	/* It goes on looking, and the data port alone is enough. */
	put_name(&w, "vport0p2", "org.bifocal.data.0\n");
	take_call(&w, 1);
	script_greet(&w.s);
	assert_string_equal(w.s.ports, "org.bifocal.data.0");
	script_run(&w.s, 1, "rw=randread bs=4k direct=0 number_ios=100 runtime=0 ramp_time=0");
	assert_int_equal(w.s.n_records, 100);
	world_fini(&w);
}

static void test_doubled_name(void **state)
{
	(void)state;
	struct world w;
	char path[128];

	world_init(&w);
	put_name(&w, "vport0p1", "org.bifocal.control.0\n");
	put_name(&w, "vport0p2", "org.bifocal.control.0\n");
	start(&w);
	await_words(&w, "error: 2 virtio ports are named org.bifocal.control.0");
	snprintf(path, sizeof(path), "%s/sys/class/virtio-ports/vport0p2/name", w.s.root);
	assert_int_equal(unlink(path), 0);
	take_call(&w, 0);
	script_greet(&w.s);
	assert_string_equal(w.s.ports, "org.bifocal.control.0");
	world_fini(&w);
}

static void begin_both(struct world *w)
{
	world_init(w);
	put_name(w, "vport0p1", "org.bifocal.control.0\n");
	put_name(w, "vport0p2", "org.bifocal.data.0\n");
	start(w);
	take_call(w, 0);
	take_call(w, 1);
	script_greet(&w->s);
}

static void hang_up(struct world *w)
{
	script_close(&w->s, 0);
	script_close(&w->s, 1);
}

/* The collector dies in the window; another one comes, and gets all there is. */
static void test_host_dies_in_window(void **state)
{
	(void)state;
	struct world w;

	begin_both(&w);
	script_prepare(&w.s, 1, "rw=randread bs=4k direct=0 runtime=0 number_ios=30000 ramp_time=0 iodepth=4");
	script_await(&w.s, readies, 1);
	script_send(&w.s, run_start, .run = 1);
	script_write(&w.s, 0);
	hang_up(&w);
	script_new_host(&w.s);
	take_call(&w, 0);
	take_call(&w, 1);
	script_await(&w.s, draineds, 1);
	assert_int_equal(w.s.done.recorded, 30000);
	assert_int_equal(w.s.n_records, 30000);
	assert_int_equal(w.s.drained.io_chunks, w.s.chunks);
	script_greet(&w.s);
	script_run(&w.s, 2, "rw=randread bs=4k direct=0 number_ios=100 runtime=0 ramp_time=0");
	world_fini(&w);
}

/* The line breaks again and again while records are on their way; gather_chunk() sees each chunk in order, once. */
static void test_line_breaks_in_drain(void **state)
{
	(void)state;
	struct world w;
	unsigned breaks = 0;

	begin_both(&w);
	script_prepare(&w.s, 1, "rw=randread bs=512 direct=0 runtime=0 number_ios=200000 ramp_time=0 iodepth=32");
	script_await(&w.s, readies, 1);
	script_send(&w.s, run_start, .run = 1);
	script_await(&w.s, dones, 1);
	while (!w.s.draineds) {
		uint32_t chunks = w.s.chunks;
		for (int i = 0; i < 200 && !w.s.draineds && w.s.chunks < chunks + 4; i++)
			script_turn(&w.s);
		if (w.s.draineds)
			break;
		hang_up(&w);
		take_call(&w, 0);
		take_call(&w, 1);
		breaks++;
	}
	assert_true(breaks > 0);
	assert_int_equal(w.s.n_records, 200000);
	assert_int_equal(w.s.done.recorded, 200000);
	world_fini(&w);
}

static void await_silence(struct script *s)
{
	for (int quiet = 0; quiet < 20;) {
		struct pollfd f = { .fd = s->fd[0], .events = POLLIN };
		quiet = poll(&f, 1, 0) ? 0 : quiet + 1;
		script_turn(s);
	}
}

static void assert_silence(struct script *s)
{
	for (int i = 0; i < 10; i++) {
		struct pollfd f[2] = { { .fd = s->fd[0], .events = POLLIN }, { .fd = s->fd[1], .events = POLLIN } };
		assert_int_equal(poll(f, 2, 20), 0);
	}
}

/* What is written to a port in the window would be part of what is measured. A pong alone is: the collector asks for some
 * after the VM was stopped. */
static void test_window_is_quiet(void **state)
{
	(void)state;
	struct world w;

	begin_both(&w);
	script_prepare(&w.s, 1, "rw=randread bs=4k direct=0 runtime=1h ramp_time=0 rate_iops=100");
	script_await(&w.s, readies, 1);
	script_send(&w.s, run_start, .run = 1);
	await_silence(&w.s);
	script_send(&w.s, greet, .protocol = PROTOCOL_VERSION, .version = span_of("test"));
	script_write(&w.s, 0);
	assert_silence(&w.s);
	for (unsigned id = 1; id <= 40; id++) {
		unsigned pongs = w.s.pongs, others = w.s.hellos + w.s.disks + w.s.hello_ends + w.s.logs;
		script_send(&w.s, clock_ping, .id = id);
		script_await(&w.s, pongs, pongs + 1);
		assert_int_equal(w.s.pong.id, id);
		assert_int_equal(w.s.hellos + w.s.disks + w.s.hello_ends + w.s.logs, others);
	}
	await_silence(&w.s);
	assert_silence(&w.s);
	w.s.disks = 0;
	script_send(&w.s, run_abort, .run = 1);
	script_await(&w.s, draineds, 1);
	script_await(&w.s, hello_ends, 2);
	world_fini(&w);
}

/* Run after run, and a host that comes and goes: the agent grows no more. */
static void test_memory_settles(void **state)
{
	(void)state;
	struct world w;
	char path[64], text[256];
	long pages[2] = { 0 };

	begin_both(&w);
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)w.s.pid);
	for (int i = 0; i < 12; i++) {
		script_run(&w.s, (uint64_t)i + 1, "rw=randread bs=4k direct=0 number_ios=5000 runtime=0 ramp_time=0 iodepth=8 numjobs=3");
		hang_up(&w);
		take_call(&w, 0);
		take_call(&w, 1);
		FILE *f = fopen(path, "r");
		assert_non_null(f);
		assert_non_null(fgets(text, sizeof(text), f));
		fclose(f);
		if (i == 3 || i == 11)
			pages[i == 11] = strtol(text, NULL, 10);
	}
	/* Eight runs' records would be 1171 pages. */
	assert_true(pages[1] - pages[0] < 16);
	world_fini(&w);
}

/* What is always ready and always at its end would be read for ever, with a line in the log each time. */
static void test_no_port_at_all(void **state)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	char where[16];

	(void)state;
	assert_true(fd >= 0);
	snprintf(where, sizeof(where), "fd:%d", fd);
	const char *const wheres[] = { where, "/dev/null" };
	for (size_t i = 0; i < 2; i++) {
		struct script s;
		script_init(&s);
		char *args[] = { NULL, (char[]){ "--root" }, s.root, (char[]){ "--control" }, (char *)(uintptr_t)wheres[i], NULL };
		s.pid = start_agent(args, &fd, 1);
		int status = script_reap(&s);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 2);
		script_end(&s);
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_port_at_all),
		cmocka_unit_test(test_found_by_name),
		cmocka_unit_test(test_missing_name),
		cmocka_unit_test(test_doubled_name),
		cmocka_unit_test(test_host_dies_in_window),
		cmocka_unit_test(test_line_breaks_in_drain),
		cmocka_unit_test(test_window_is_quiet),
		cmocka_unit_test(test_memory_settles),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
