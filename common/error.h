/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One error, said once, where it is known.
 *
 * A fallible function returns 0 (or a count) on success and -1 on failure, and
 * then has filled the caller's struct error. Callers may put context in front
 * with error_prefix(); only main() turns an error into an exit code. Every
 * function here accepts a NULL error, so that a caller who does not care
 * need not make one.
 *
 * A message names what failed, where, and what to do about it, in that order:
 *     "run 7: disk vdb: serial is \"data\", not bifocal-scratch; pass --destructive to write to it"
 */
#ifndef BIFOCAL_COMMON_ERROR_H
#define BIFOCAL_COMMON_ERROR_H

#include <stdarg.h>

/* Numbers travel in MSG_ERROR and are permanent: new ones go to the end. */
enum err_code {
	ERR_NONE = 0,
	ERR_USAGE = 1,       /* the command line, a key, a unit, a value */
	ERR_FAILED = 2,      /* none of the others */
	ERR_IO = 3,          /* a system call; its errno is in .sys */
	ERR_PROTOCOL = 4,    /* the peer broke the protocol */
	ERR_VERSION = 5,     /* image, database or protocol of another version */
	ERR_NOT_FOUND = 6,   /* a file, disk, port, run, template that is not there */
	ERR_NO_SPACE = 7,    /* disk or map full */
	ERR_TIMEOUT = 8,     /* a bounded wait ran out */
	ERR_LIMIT = 9,       /* a size over its bound, a budget spent */
	ERR_CORRUPT = 10,    /* stored bytes that fail their checksum or shape */
	ERR_INTERRUPTED = 11,/* SIGINT or SIGTERM */
	ERR_REFUSED = 12,    /* asked to do what it must not (another disk than scratch) */
	ERR_PLUGIN = 13,     /* a Lua probe's own fault */
};

/* Process exit codes of bifocal and bifocal-mine; part of the contract. */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_PARTIAL = 3,
	EXIT_REGRESSION = 10,
	EXIT_SKIPPED = 77,
};

struct error {
	enum err_code code;
	int sys;             /* errno, or 0 */
	char text[1536];     /* UTF-8, one line unless it quotes a console */
};

/* All return -1, so that a failing function can end with `return error_set(...)`. */
int error_set(struct error *e, enum err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int error_vset(struct error *e, enum err_code code, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));
/* ERR_IO (ERR_NO_SPACE for ENOSPC and EDQUOT, ERR_NOT_FOUND for ENOENT) with ": strerror(errnum)" behind the message. */
int error_sys(struct error *e, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts "context: " in front of the text already there. */
int error_prefix(struct error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* EXIT_USAGE for ERR_USAGE, EXIT_DONE for ERR_NONE, else EXIT_FAILED. */
enum exit_code error_exit_code(const struct error *e);

#endif
