/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/run/stop.h"

#include <signal.h>
#include <string.h>

/* What a signal handler may write to is global by nature. */
static volatile sig_atomic_t caught;

static void take_note(int sig)
{
	caught = sig;
}

void stop_watch(void)
{
	/* Without SA_RESTART, so that a system call in progress returns and the caller gets to ask. */
	struct sigaction sa = { .sa_handler = take_note };
	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	/* nohup(1) has it ignored, and means it. */
	struct sigaction hup;
	if (!sigaction(SIGHUP, NULL, &hup) && hup.sa_handler != SIG_IGN)
		sigaction(SIGHUP, &sa, NULL);
	/* A file-size limit shows as EFBIG from the write, a reader gone as EPIPE, not as a death that leaves a VM behind. */
	sa.sa_handler = SIG_IGN;
	sigaction(SIGXFSZ, &sa, NULL);
	sigaction(SIGPIPE, &sa, NULL);
}

int stop_signal(void)
{
	return caught;
}

int stop_check(struct error *err)
{
	if (!caught)
		return 0;
	return error_set(err, ERR_INTERRUPTED, "ended by SIG%s", sigabbrev_np(caught));
}
