/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mkcpio < LIST > ARCHIVE: an initramfs (cpio "newc") whose bytes depend on LIST and the files it
 * names, and on nothing else: no clock, umask, owner, inode number or link count gets in.
 *
 *     dir PATH
 *     file PATH SOURCE          data, mode 0644
 *     exec PATH SOURCE          program, mode 0755
 *
 * Paths have no leading slash and no blanks. Parents come before what is in them: the kernel makes none.
 * The format: Documentation/driver-api/early-userspace/buffer-format.rst of Linux. Device nodes are not needed,
 * since the kernel's built-in archive brings /dev/console.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 4096, MODE_DIR = 0040755, MODE_DATA = 0100644, MODE_EXEC = 0100755 };

static void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

static void die(const char *fmt, ...)
{
	va_list ap;

	fputs("mkcpio: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static void pad4(size_t written)
{
	for (; written % 4; written++)
		putchar(0);
}

static void put_header(const char *path, unsigned mode, size_t size)
{
	static unsigned inode;    /* the kernel takes equal numbers for hard links */
	size_t name = strlen(path) + 1;
	int n = printf("070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X", ++inode, mode, 0U, 0U, 1U, 0U, size,
		       0U, 0U, 0U, 0U, name, 0U);

	fwrite(path, 1, name, stdout);
	pad4((size_t)n + name);
}

static void put_file(const char *path, unsigned mode, const char *source)
{
	static char buf[1 << 16];
	FILE *f = fopen(source, "rb");
	size_t n, copied = 0;
	long size;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0 || (unsigned long)size > UINT32_MAX)
		die("%s: %s", source, f && !errno ? "too large" : strerror(errno));
	rewind(f);
	put_header(path, mode, (size_t)size);
	for (; (n = fread(buf, 1, sizeof(buf), f)); copied += n)
		fwrite(buf, 1, n, stdout);
	if (copied != (size_t)size)
		die("%s: changed or unreadable while it was copied", source);
	pad4(copied);
	fclose(f);
}

static void put_line(const char *line, unsigned number)
{
	char kind[8] = "", path[LINE] = "", source[LINE] = "";
	int fields = sscanf(line, "%7s %4095s %4095s", kind, path, source);

	if (fields == 2 && !strcmp(kind, "dir"))
		put_header(path, MODE_DIR, 0);
	else if (fields == 3 && !strcmp(kind, "file"))
		put_file(path, MODE_DATA, source);
	else if (fields == 3 && !strcmp(kind, "exec"))
		put_file(path, MODE_EXEC, source);
	else
		die("line %u: want dir PATH, file PATH SOURCE or exec PATH SOURCE", number);
}

int main(void)
{
	char line[3 * LINE];

	for (unsigned number = 1; fgets(line, sizeof(line), stdin); number++)
		put_line(line, number);
	put_header("TRAILER!!!", 0, 0);
	if (fflush(stdout) || ferror(stdout))
		die("standard output: %s", strerror(errno));
	return 0;
}
