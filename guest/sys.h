/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small reads below a root: "" is the real one, another a made-up tree that tests lay out
 * like /sys, /proc and /dev.
 */
#ifndef BIFOCAL_GUEST_SYS_H
#define BIFOCAL_GUEST_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { SYS_PATH_MAX = 1024 };

/* root + formatted path into `dst` of SYS_PATH_MAX bytes; -1 when it does not fit. */
int sys_path(char *dst, const char *root, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The file's first cap-1 bytes, NUL-terminated, blanks and newlines at its end cut off. Returns their
 * number; -1, and an empty `dst`, when the file cannot be read. */
ssize_t sys_read(char *dst, size_t cap, const char *root, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The decimal number a file begins with, or `otherwise`. */
uint64_t sys_read_u64(uint64_t otherwise, const char *root, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* One write(2) of `text` to a file that is there. -1 with errno. */
int sys_write(const char *root, const char *text, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The last component of a symbolic link's target. -1, and an empty `dst`, when there is none. */
int sys_link_name(char *dst, size_t cap, const char *path);
/* Bytes that the kernel would give to a new program without swapping (MemAvailable). */
uint64_t sys_memory_available(const char *root);

#endif
