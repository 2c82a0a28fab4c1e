/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/vm/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/loop.h"
#include "host/run/stop.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

enum {
	TAIL_BYTES = 64 << 10,
	/* A signal may come just before poll(2): it is seen after one slice at the latest. */
	POLL_SLICE_MS = 100,
};

static void default_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
}

/* In the child: never returns. `report` tells the parent why exec failed. */
static void child_exec(char *const argv[], int out, pid_t parent, int report)
{
	int null = open("/dev/null", O_RDONLY);

	default_signals();
	setpgid(0, 0);
	/* A parent that died between fork and prctl sends no signal any more: look again. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent && null >= 0 && dup2(null, 0) >= 0 &&
	    dup2(out, 1) >= 0 && dup2(out, 2) >= 0) {
		close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
		execvp(argv[0], argv);
	}
	int why = errno ? errno : ESRCH;
	if (write(report, &why, sizeof(why)) < 0)
		_exit(126);
	_exit(127);
}

static int exec_error(struct error *err, const char *program, int why)
{
	if (why == ENOENT)
		return error_set(err, ERR_NOT_FOUND, "%s: no such program", program);
	return error_sys(err, why, "%s: cannot run it", program);
}

/* Reads the child's report: nothing when exec closed the pipe, else the errno. */
static int read_report(int fd)
{
	int why = 0;
	ssize_t n;

	do
		n = read(fd, &why, sizeof(why));
	while (n < 0 && errno == EINTR);
	return n == sizeof(why) ? why : 0;
}

static int spawn(struct process *p, char *const argv[], int out, struct error *err)
{
	int report[2];

	if (pipe2(report, O_CLOEXEC))
		return error_sys(err, errno, "%s: pipe", argv[0]);
	autoclose int from = report[0];
	pid_t parent = getpid(), pid = fork();
	if (pid == 0)
		child_exec(argv, out, parent, report[1]);
	int fork_errno = errno;
	close(report[1]);
	if (pid < 0)
		return error_sys(err, fork_errno, "%s: fork", argv[0]);
	*p = (struct process){ .pid = pid };
	int why = read_report(from);
	if (!why)
		return 0;
	process_kill(p);
	return exec_error(err, argv[0], why);
}

int process_start(struct process *p, char *const argv[], const char *log, struct error *err)
{
	*p = (struct process){ 0 };
	autoclose int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (out < 0)
		return error_sys(err, errno, "%s: open", log);
	return spawn(p, argv, out, err);
}

static void reap(struct process *p, int flags)
{
	pid_t got;

	if (p->pid <= 0)
		return;
	do
		got = waitpid(p->pid, &p->status, flags);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		return;
	p->ended = true;
	p->pid = 0;
}

bool process_running(struct process *p)
{
	reap(p, WNOHANG);
	return p->pid > 0;
}

bool process_wait(struct process *p, int ms)
{
	uint64_t end = monotonic_ns() + (uint64_t)ms * 1000000;

	while (process_running(p)) {
		if (monotonic_ns() >= end)
			return false;
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	}
	return true;
}

void process_kill(struct process *p)
{
	if (!process_running(p))
		return;
	/* Its group, which child_exec() made: vm.qemu may be a script that has QEMU for a child. */
	if (kill(-p->pid, SIGKILL))
		kill(p->pid, SIGKILL);
	reap(p, 0);
}

char *process_how(const struct process *p, char *dst, size_t cap)
{
	if (!p->ended)
		snprintf(dst, cap, "running");
	else if (WIFSIGNALED(p->status))
		snprintf(dst, cap, "signal %d (%s)", WTERMSIG(p->status), sigabbrev_np(WTERMSIG(p->status)));
	else
		snprintf(dst, cap, "exit %d", WEXITSTATUS(p->status));
	return dst;
}

/* Reads to end of file, the buffer's end or the deadline. */
static int drain(int fd, char *out, size_t cap, uint64_t end, const char *program, struct error *err)
{
	size_t len = 0;

	for (;;) {
		uint64_t now = monotonic_ns();
		struct pollfd pfd = { .fd = fd, .events = POLLIN };

		if (now >= end)
			return error_set(err, ERR_TIMEOUT, "%s: no end of its output in time", program);
		if (stop_check(err))
			return -1;
		if (poll(&pfd, 1, POLL_SLICE_MS) <= 0)
			continue;
		ssize_t n = read(fd, out + len, cap - 1 - len);
		if (n < 0 && errno != EINTR)
			return error_sys(err, errno, "%s: read its output", program);
		if (n > 0)
			len += (size_t)n;
		out[len] = '\0';
		if (n == 0)
			return 0;
		if (len == cap - 1)
			return error_set(err, ERR_LIMIT, "%s: more than %zu bytes of output", program, cap - 1);
	}
}

int process_capture(char *const argv[], char *out, size_t cap, int ms, struct error *err)
{
	struct process p = { 0 };
	uint64_t end = monotonic_ns() + (uint64_t)ms * 1000000;
	int pipes[2];

	out[0] = '\0';
	if (pipe2(pipes, O_CLOEXEC))
		return error_sys(err, errno, "%s: pipe", argv[0]);
	autoclose int from = pipes[0];
	int rc = spawn(&p, argv, pipes[1], err);
	close(pipes[1]);
	if (rc == 0)
		rc = drain(from, out, cap, end, argv[0], err);
	if (rc == 0 && !process_wait(&p, ms))
		rc = error_set(err, ERR_TIMEOUT, "%s: did not end in %d ms", argv[0], ms);
	process_kill(&p);
	if (rc)
		return -1;
	if (WIFSIGNALED(p.status))
		return error_set(err, ERR_FAILED, "%s: ended by signal %d", argv[0], WTERMSIG(p.status));
	return WEXITSTATUS(p.status);
}

/* Where the last `lines` lines begin. */
static size_t tail_start(const char *text, size_t len, int lines)
{
	size_t i = len;

	while (i > 0 && text[i - 1] == '\n')
		i--;
	for (; i > 0; i--)
		if (text[i - 1] == '\n' && --lines <= 0)
			return i;
	return 0;
}

char *file_tail(const char *path, int lines, char *dst, size_t cap)
{
	autofree char *buf = malloc(TAIL_BYTES);
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t o = 0;

	dst[0] = '\0';
	if (!buf || fd < 0)
		return dst;
	off_t size = lseek(fd, 0, SEEK_END);
	ssize_t n = pread(fd, buf, TAIL_BYTES, size > TAIL_BYTES ? size - TAIL_BYTES : 0);
	if (n <= 0)
		return dst;
	size_t i = tail_start(buf, (size_t)n, lines);
	/* What does not fit is cut at the front: a console's last words matter most. */
	if ((size_t)n - i > cap - 1)
		i = (size_t)n - (cap - 1);
	for (; i < (size_t)n; i++) {
		unsigned char c = (unsigned char)buf[i];

		if (c == '\r')
			continue;
		dst[o++] = c == '\n' || c == '\t' || (c >= 0x20 && c < 0x7f) ? (char)c : '?';
	}
	while (o > 0 && dst[o - 1] == '\n')
		o--;
	dst[o] = '\0';
	return dst;
}
