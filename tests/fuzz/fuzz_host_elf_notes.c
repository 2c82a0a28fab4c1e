/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any file as a program with USDT probes; and what its notes say of arguments as a uprobe's. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/trace/elf_notes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int look_at(void *ctx, const struct sdt_probe *p)
{
	char fetch[SDT_FETCH_MAX];
	unsigned *probes = ctx, n = sdt_arguments(p->arguments);

	if (strlen(p->provider) >= SDT_PROVIDER_MAX || strlen(p->name) >= SDT_NAME_MAX || strlen(p->arguments) >= SDT_ARGUMENTS_MAX)
		abort();
	for (unsigned i = 0; i <= n; i++)
		for (int string = 0; string < 2; string++)
			if (sdt_fetch(p->arguments, i, string, fetch) && (i == n || strlen(fetch) >= SDT_FETCH_MAX || strpbrk(fetch, " \n;")))
				abort();
	return ++*probes > 100000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	unsigned probes = 0;
	struct error err = { 0 };

	if (fd < 0)
		fd = memfd_create("elf", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	if (sdt_each(fd, NULL, look_at, &probes, &err) < 0 && !err.text[0])
		abort();
	/* The arguments' parser alone, without the file around it. */
	struct sdt_probe p = { .name = "x" };
	size_t n = size < sizeof(p.arguments) - 1 ? size : sizeof(p.arguments) - 1;
	memcpy(p.arguments, data, n);
	look_at(&probes, &p);
	return 0;
}
