/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The one piece of global state in common/: a program has one log, set up by its main() before it
 * starts threads and only read afterwards. */
static struct {
	const char *prefix;
	enum log_level level;
	void (*sink)(void *ctx, enum log_level level, const char *line);
	void *ctx;
	bool only;
} the_log = { .prefix = "bifocal", .level = LOG_INFO_LEVEL };

/* A sink that logs (a channel that cannot send) must not call itself for ever. */
static _Thread_local bool in_sink;

void log_init(const char *prefix, enum log_level level)
{
	the_log.prefix = prefix;
	the_log.level = level;
}

void log_sink(void (*sink)(void *ctx, enum log_level level, const char *line), void *ctx, int only)
{
	the_log.sink = sink;
	the_log.ctx = ctx;
	the_log.only = sink && only;
}

static void to_stderr(enum log_level level, const char *line)
{
	static const char *const words[] = { "error: ", "warning: ", "", "debug: " };
	char out[1200];
	int n = snprintf(out, sizeof(out), "%s: %s%s\n", the_log.prefix, words[level], line);
	if (n < 0)
		return;
	size_t len = (size_t)n;
	if (len >= sizeof(out)) {
		len = sizeof(out) - 1;
		out[len - 1] = '\n';
	}
	/* One write, so that lines of several threads or processes do not mix. A log that
	 * cannot be written has nobody left to tell. */
	ssize_t done = write(STDERR_FILENO, out, len);
	(void)done;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	if (level > the_log.level)
		return;
	char line[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (!the_log.only || in_sink)
		to_stderr(level, line);
	if (the_log.sink && !in_sink) {
		in_sink = true;
		the_log.sink(the_log.ctx, level, line);
		in_sink = false;
	}
}
