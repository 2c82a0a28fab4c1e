// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The promise of the window: no system call but the I/O itself, no allocation. Each engine runs a job in a
 * child process whose seccomp filter knows that engine's I/O calls alone and kills at any other, and
 * whose malloc counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/job.h"
#include "guest/recmem.h"

/* A sanitizer has an allocator and system calls of its own: there the confined tests are skipped. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED 0
#endif

static unsigned long allocations;

#if !SANITIZED
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n) { allocations++; return __libc_malloc(n); }
void *calloc(size_t n, size_t size) { allocations++; return __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { allocations++; return __libc_realloc(p, n); }
#endif

enum { DISK = 1 << 20, HZ = 1000000000 };

struct outcome {                       /* shared with the child */
	uint64_t issued, recorded, errors, dropped, allocated;
	bool over;
};

/* Allows the calls given, kills at others; `also` is for the child's own end. */
static void allow_only(const int *calls, int n)
{
	struct sock_filter f[64];
	int at = 0;

	f[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (int i = 0; i < n; i++) {
		f[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i], 0, 1);
		f[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	f[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	struct sock_fprog p = { (unsigned short)at, f };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p))
		_exit(99);
}

static int make_disk(void)
{
	char path[] = "/tmp/bifocal-engine-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, DISK), 0);
	return fd;
}

struct bench {
	struct workload w;
	struct window window;
	struct recmem memory;
	struct job job;
	int fd;
};

static void bench_init(struct bench *b, const char *text, size_t capacity)
{
	struct error err = { 0 };

	memset(b, 0, sizeof(*b));
	b->fd = make_disk();
	if (workload_parse(&b->w, text, strlen(text), &err) || workload_check(&b->w, &err))
		fail_msg("%s", err.text);
	assert_true(recmem_reserve(&b->memory, capacity, "", &err) >= capacity);
	b->window.close = UINT64_MAX;
	struct job_setup s = {
		.w = &b->w, .window = &b->window, .fd = b->fd, .size = DISK, .seed = 1, .hz = HZ,
		.limit = recmem_job_limit(&b->w, DISK), .records = b->memory.records, .capacity = capacity,
	};
	if (job_init(&b->job, &s, &err) || b->job.engine->open(&b->job, &err))
		fail_msg("%s", err.text);
}

static void bench_fini(struct bench *b)
{
	b->job.engine->close(&b->job);
	job_fini(&b->job);
	recmem_fini(&b->memory);
	close(b->fd);
}

static struct outcome run_confined(const char *text, const int *calls, int n)
{
	struct bench b;
	struct outcome *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), result;
	int status;

	assert_true(shared != MAP_FAILED);
	pid_t pid = fork();
	if (pid == 0) {
		bench_init(&b, text, 10000);
		b.window.open = tsc_read();
		allow_only(calls, n);
		unsigned long before = allocations;
		job_run(&b.job);
		shared->allocated = allocations - before;
		shared->issued = b.job.issued;
		shared->recorded = b.job.recorded;
		shared->errors = b.job.errors;
		shared->dropped = b.job.dropped;
		shared->over = true;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	result = *shared;
	munmap(shared, sizeof(*shared));
	return result;
}

static void skip_if_sanitized(void)
{
	if (!SANITIZED)
		return;
	printf("skip: a sanitizer makes system calls and allocations of its own in the window\n");
	skip();
}

static void check_confined(const char *text, const int *calls, int n, uint64_t issued)
{
	skip_if_sanitized();
	struct outcome o = run_confined(text, calls, n);

	assert_true(o.over);
	assert_int_equal(o.allocated, 0);
	assert_int_equal(o.issued, issued);
	assert_int_equal(o.recorded, issued);
	assert_int_equal(o.errors + o.dropped, 0);
}

static const int uring_calls[] = { SYS_io_uring_enter, SYS_exit_group };
static const int aio_calls[] = { SYS_io_submit, SYS_io_getevents, SYS_exit_group };
static const int psync_calls[] = { SYS_pread64, SYS_pwrite64, SYS_fsync, SYS_exit_group };
#define CALLS(c) c, (int)(sizeof(c) / sizeof(c[0]))

static void test_uring_confined(void **state)
{
	(void)state;
	check_confined("rw=randrw direct=0 iodepth=8 number_ios=1000 runtime=0 ramp_time=0 ioengine=io_uring", CALLS(uring_calls), 1000);
	check_confined("rw=read direct=0 iodepth=4 number_ios=200 rate_iops=20000 rate_process=poisson runtime=0 ramp_time=0 ioengine=io_uring", CALLS(uring_calls), 200);
}

static void test_libaio_confined(void **state)
{
	(void)state;
	check_confined("rw=randrw direct=0 iodepth=8 number_ios=1000 runtime=0 ramp_time=0 ioengine=libaio", CALLS(aio_calls), 1000);
	check_confined("rw=read direct=0 iodepth=4 number_ios=200 rate_iops=20000 runtime=0 ramp_time=0 ioengine=libaio", CALLS(aio_calls), 200);
}

static void test_psync_confined(void **state)
{
	(void)state;
	check_confined("rw=randrw direct=0 number_ios=1000 runtime=0 ramp_time=0 ioengine=psync", CALLS(psync_calls), 1000);
	check_confined("rw=write direct=0 number_ios=200 rate_iops=20000 runtime=0 ramp_time=0 ioengine=psync", CALLS(psync_calls), 200);
}

/* The filter must be able to bite, or the tests above show nothing. */
static void test_filter_bites(void **state)
{
	(void)state;
	skip_if_sanitized();
	struct outcome o = run_confined("rw=write direct=0 fsync=10 number_ios=100 runtime=0 ramp_time=0 ioengine=psync", psync_calls, 2);

	assert_false(o.over);
}

/* When memory ends the window goes on, and what is lost is counted. */
static void test_drops_are_counted(void **state)
{
	(void)state;
	static const char *const engines[] = { "io_uring", "libaio", "psync" };

	for (int i = 0; i < 3; i++) {
		struct bench b;
		char text[256];
		snprintf(text, sizeof(text), "rw=randread direct=0 number_ios=500 runtime=0 ramp_time=0 ioengine=%s", engines[i]);
		bench_init(&b, text, 100);
		job_run(&b.job);
		assert_int_equal(b.job.issued, 500);
		assert_int_equal(b.job.recorded, 100);
		assert_int_equal(b.job.dropped, 400);
		bench_fini(&b);
	}
}

/* Past the end of the file a read gives less than was asked for. */
static void test_errors_are_recorded(void **state)
{
	(void)state;
	static const char *const engines[] = { "io_uring", "libaio", "psync" };

	for (int i = 0; i < 3; i++) {
		struct bench b;
		char text[256];
		snprintf(text, sizeof(text), "rw=read bs=4k direct=0 number_ios=256 runtime=0 ramp_time=0 ioengine=%s", engines[i]);
		bench_init(&b, text, 1000);
		assert_int_equal(ftruncate(b.fd, DISK / 2 + 512), 0);
		job_run(&b.job);
		assert_int_equal(b.job.errors, 128);
		assert_int_equal(b.job.records[127].result, 4096);
		assert_int_equal(b.job.records[128].result, 512);
		assert_int_equal(b.job.records[129].result, 0);
		bench_fini(&b);
	}
}

static void test_stop_flag(void **state)
{
	(void)state;
	struct bench b;

	bench_init(&b, "rw=randread direct=0 number_ios=500 runtime=0 ramp_time=0", 1000);
	atomic_store(&b.window.stop, true);
	job_run(&b.job);
	assert_int_equal(b.job.issued, 0);
	bench_fini(&b);
}

/* fsync=n: after every n writes a flush, which number_ios does not count. */
static void test_flushes(void **state)
{
	(void)state;
	static const char *const engines[] = { "io_uring", "libaio", "psync" };

	for (int i = 0; i < 3; i++) {
		struct bench b;
		char text[256];
		unsigned flushes = 0;
		snprintf(text, sizeof(text), "rw=write direct=0 fsync=10 number_ios=100 runtime=0 ramp_time=0 ioengine=%s", engines[i]);
		bench_init(&b, text, 1000);
		job_run(&b.job);
		assert_int_equal(b.job.errors, 0);
		for (size_t k = 0; k < b.job.recorded; k++)
			flushes += b.job.records[k].op == IO_FLUSH;
		/* The tenth would follow the last write. */
		assert_int_equal(flushes, 9);
		assert_int_equal(b.job.recorded, 109);
		bench_fini(&b);
	}
}

static void test_need(void **state)
{
	(void)state;
	struct workload w;
	struct error err = { 0 };
	const char exact[] = "number_ios=1000 numjobs=3 runtime=0 ramp_time=0 iodepth=1";
	const char timed[] = "rate_iops=100 runtime=10s ramp_time=0 iodepth=1";

	assert_int_equal(workload_parse(&w, exact, strlen(exact), &err), 0);
	assert_int_equal(recmem_need(&w, DISK), 3003);
	assert_int_equal(workload_parse(&w, timed, strlen(timed), &err), 0);
	assert_int_equal(recmem_need(&w, DISK), 1001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uring_confined),
		cmocka_unit_test(test_libaio_confined),
		cmocka_unit_test(test_psync_confined),
		cmocka_unit_test(test_filter_bites),
		cmocka_unit_test(test_drops_are_counted),
		cmocka_unit_test(test_errors_are_recorded),
		cmocka_unit_test(test_stop_flag),
		cmocka_unit_test(test_flushes),
		cmocka_unit_test(test_need),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
