/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines for people, to stderr by default. Off below the level set. */
#ifndef BIFOCAL_COMMON_LOG_H
#define BIFOCAL_COMMON_LOG_H

/* Numbers travel in MSG_LOG and are permanent. */
enum log_level { LOG_ERROR_LEVEL = 0, LOG_WARN_LEVEL = 1, LOG_INFO_LEVEL = 2, LOG_DEBUG_LEVEL = 3 };

/* Prefix of each line: "bifocal", "bifocal-agent". Not copied. */
void log_init(const char *prefix, enum log_level level);
/* Where lines go besides, or instead (`only`); NULL: stderr alone. */
void log_sink(void (*sink)(void *ctx, enum log_level level, const char *line), void *ctx, int only);
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERROR_LEVEL, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN_LEVEL, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO_LEVEL, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG_LEVEL, __VA_ARGS__)

#endif
