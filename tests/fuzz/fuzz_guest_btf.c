/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A kernel's type information, as the agent reads it for its BPF programs. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/btf.h>

#include "guest/bpf_btf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A member's offset lies within what a struct can be, whatever the file says. */
static void ask(const struct btf_file *f, const struct btf_want *type)
{
	static const char *const members[] = { "a", "b", "c", "d", "" };
	for (size_t i = 0; type->id && i < sizeof(members) / sizeof(members[0]); i++)
		if (btf_offset(f, type, members[i]) < -1)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	struct btf_file f = { 0 };
	struct error err = { 0 };
	struct btf_want want[] = { { .kind = BTF_KIND_STRUCT, .name = "outer" }, { .kind = BTF_KIND_TYPEDEF, .name = "alias" } };
	int fd = memfd_create("btf", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!btf_read(&f, path, NULL, &err) && !btf_find(&f, want, 2, &err))
		for (int i = 0; i < 2; i++)
			ask(&f, &want[i]);
	btf_fini(&f);
	close(fd);
	return 0;
}
