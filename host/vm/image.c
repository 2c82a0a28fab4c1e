/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/vm/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/version.h"
#include "host/paths.h"

/* Where distributions put OVMF: Debian, Fedora and RHEL, Arch, QEMU's own build. Code and variables are a pair. */
static const struct { const char *code, *vars; } firmware[] = {
	{ "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd" },
	{ "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd" },
	{ "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd" },
	{ "/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd" },
	{ "/usr/share/qemu/edk2-x86_64-code.fd", "/usr/share/qemu/edk2-i386-vars.fd" },
};

static const char *boot(const struct config *c)
{
	return config_str(c, CFG_VM_BOOT);
}

/* ---- the image ---- */

static int no_image(const char *path, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "%s: the image is not there; run `make image`, or name its directory with vm.image=DIR", path);
}

int image_dir(const struct config *c, char *dir, size_t cap, struct error *err)
{
	const char *asked = config_str(c, CFG_VM_IMAGE);
	autofree char *data = NULL;
	autofree char *path = NULL;
	autofree char *real = NULL;

	if (strcmp(asked, "auto") == 0) {
		if (!(data = path_data_dir(err)) || !(path = path_join(data, "image", err)))
			return -1;
		asked = path;
	}
	real = realpath(asked, NULL);
	if (!real && errno == ENOENT)
		return no_image(asked, err);
	if (!real)
		return error_sys(err, errno, "%s", asked);
	int n = snprintf(dir, cap, "%s", real);
	if (n < 0 || (size_t)n >= cap)
		return error_set(err, ERR_LIMIT, "vm.image: path of %zu bytes, too long", strlen(real));
	return 0;
}

static int need_file(const char *dir, const char *name, char *path, size_t cap, struct error *err)
{
	int n = snprintf(path, cap, "%s/%s", dir, name);

	if (n < 0 || (size_t)n >= cap)
		return error_set(err, ERR_LIMIT, "%s/%s: path too long", dir, name);
	if (access(path, R_OK) == 0)
		return 0;
	return errno == ENOENT ? no_image(path, err) : error_sys(err, errno, "%s", path);
}

/* The file's first line without its blanks at the end; "" when there is none. */
static void read_line(const char *dir, const char *name, char *dst, size_t cap)
{
	char path[400];

	dst[0] = '\0';
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	autofclose FILE *f = fopen(path, "re");
	if (!f || !fgets(dst, (int)cap, f))
		return;
	size_t n = strcspn(dst, "\r\n");
	while (n > 0 && dst[n - 1] == ' ')
		n--;
	dst[n] = '\0';
}

char *image_version(const char *dir, char *dst, size_t cap)
{
	read_line(dir, "VERSION", dst, cap);
	return dst;
}

static int check_version(const char *dir, struct error *err)
{
	char line[128];
	size_t n = strcspn(image_version(dir, line, sizeof(line)), " ");

	if (!n || (n == strlen(BIFOCAL_VERSION) && strncmp(line, BIFOCAL_VERSION, n) == 0))
		return 0;
	return error_set(err, ERR_VERSION, "%s: the image is of version %.*s, this is bifocal %s; run `make image`", dir, (int)n, line, BIFOCAL_VERSION);
}

/* ---- the firmware ---- */

int image_firmware(struct vm_paths *p, struct error *err)
{
	for (size_t i = 0; i < sizeof(firmware) / sizeof(firmware[0]); i++) {
		if (access(firmware[i].code, R_OK) || access(firmware[i].vars, R_OK))
			continue;
		snprintf(p->ovmf_code, sizeof(p->ovmf_code), "%s", firmware[i].code);
		snprintf(p->ovmf_vars, sizeof(p->ovmf_vars), "%s", firmware[i].vars);
		return 0;
	}
	return error_set(err, ERR_NOT_FOUND, "vm.boot=uefi: no OVMF firmware found (first tried %s); install ovmf, or take vm.boot=bios",
			 firmware[0].code);
}

int image_find(const struct config *c, struct vm_paths *p, struct error *err)
{
	char dir[300];

	if (image_dir(c, dir, sizeof(dir), err))
		return -1;
	if (strcmp(boot(c), "direct") == 0) {
		if (need_file(dir, "vmlinux", p->kernel, sizeof(p->kernel), err) ||
		    need_file(dir, "initrd", p->initrd, sizeof(p->initrd), err))
			return -1;
		read_line(dir, "cmdline", p->cmdline, sizeof(p->cmdline));
	} else if (need_file(dir, "bifocal.img", p->disk_image, sizeof(p->disk_image), err)) {
		return -1;
	}
	if (check_version(dir, err))
		return -1;
	return strcmp(boot(c), "uefi") == 0 ? image_firmware(p, err) : 0;
}

static int copy_file(const char *from, const char *to, struct error *err)
{
	char buf[16384];
	ssize_t n;
	autoclose int in = open(from, O_RDONLY | O_CLOEXEC);
	autoclose int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (in < 0 || out < 0)
		return error_sys(err, errno, "%s", in < 0 ? from : to);
	while ((n = read(in, buf, sizeof(buf))) > 0) {
		ssize_t written = write(out, buf, (size_t)n);
		if (written != n)
			return error_sys(err, written < 0 ? errno : ENOSPC, "%s: write", to);
	}
	return n < 0 ? error_sys(err, errno, "%s: read", from) : 0;
}

int image_prepare(const struct config *c, struct vm_paths *p, struct error *err)
{
	char copy[160];

	if (strcmp(boot(c), "uefi"))
		return 0;
	snprintf(copy, sizeof(copy), "%.140s/ovmf-vars", p->dir);
	if (copy_file(p->ovmf_vars, copy, err))
		return -1;
	snprintf(p->ovmf_vars, sizeof(p->ovmf_vars), "%s", copy);
	return 0;
}
