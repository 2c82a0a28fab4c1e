/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "host/vm/process.h"
#include "host/vm/qemu.h"

enum { VERSION_TEXT = 4096, VERSION_MS = 10000 };

static int no_qemu(struct error *err, const char *name)
{
	if (strchr(name, '/') && access(name, F_OK) == 0)
		return error_set(err, ERR_NOT_FOUND, "%s: is no program that may be run; name QEMU's binary with vm.qemu=PATH", name);
	return error_set(err, ERR_NOT_FOUND, "%s: not found; install qemu-system-x86 (Debian: apt-get install qemu-system-x86), "
			 "or name the binary with vm.qemu=PATH", name);
}

static bool runnable(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

int program_find(const char *name, char *out, size_t cap)
{
	const char *path = getenv("PATH");
	autofree char *copy = strdup(path ? path : "/usr/local/bin:/usr/bin:/bin");
	char *save = NULL;

	if (strchr(name, '/')) {
		snprintf(out, cap, "%s", name);
		return runnable(out) ? 0 : -1;
	}
	for (char *dir = copy ? strtok_r(copy, ":", &save) : NULL; dir; dir = strtok_r(NULL, ":", &save)) {
		int n = snprintf(out, cap, "%s/%s", dir, name);
		if (n > 0 && (size_t)n < cap && runnable(out))
			return 0;
	}
	return -1;
}

/* "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\n…" */
int qemu_parse_version(const char *text, struct qemu_info *out)
{
	static const char mark[] = "version ";
	const char *v = strstr(text, mark);

	if (!v || strncmp(text, "QEMU", 4))
		return -1;
	v += strlen(mark);
	size_t n = strcspn(v, "\r\n");
	if (sscanf(v, "%5u.%5u", &out->major, &out->minor) != 2)
		return -1;
	snprintf(out->version, sizeof(out->version), "%.*s", (int)n, v);
	return 0;
}

int qemu_probe(const struct config *c, struct qemu_info *out, struct error *err)
{
	const char *name = config_str(c, CFG_VM_QEMU);
	autofree char *text = malloc(VERSION_TEXT);

	memset(out, 0, sizeof(*out));
	if (!text)
		return error_set(err, ERR_LIMIT, "out of memory");
	if (program_find(name, out->path, sizeof(out->path)))
		return no_qemu(err, name);
	int rc = process_capture((char *[]){ out->path, "-version", NULL }, text, VERSION_TEXT, VERSION_MS, err);
	if (rc < 0)
		return error_prefix(err, "vm.qemu");
	if (rc > 0 || qemu_parse_version(text, out))
		return error_set(err, ERR_VERSION, "%s -version (exit %d) says \"%.*s\", which is not QEMU; "
				 "install qemu-system-x86, or name the binary with vm.qemu=PATH",
				 out->path, rc, (int)strcspn(text, "\r\n") % 120, text);
	if (out->major < QEMU_OLDEST)
		return error_set(err, ERR_VERSION, "%s is QEMU %s; %d.0 is the oldest that will do", out->path, out->version, QEMU_OLDEST);
	return 0;
}
