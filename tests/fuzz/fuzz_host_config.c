/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the collector reads from a command line, a study's file and QEMU's first line. First byte: which.
 * A configuration that was taken prints as words that give the same configuration again.
 */
#include <stdlib.h>
#include <string.h>

#include "host/config.h"
#include "host/vm/qemu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void set_again(void *ctx, const char *key, const char *text)
{
	struct error err = { 0 };
	if (config_set(ctx, key, text, &err) < 0)
		abort();
}

static void try_config(char *text)
{
	static struct config c, again;
	struct error err = { 0 };
	char *save = NULL, a[CONFIG_TEXT_MAX], full[CONFIG_TEXT_MAX];
	config_default(&c);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (config_assign(&c, line, &err) < 0 && !*err.text)
			abort();
		config_resolve(line, full, sizeof(full), &err);
		config_get(&c, line, a, sizeof(a));
	}
	config_check(&c, &err);
	config_default(&again);
	config_each(&c, set_again, &again);
	for (int k = 0; k < CONFIG_KEYS; k++)
		if (strcmp(c.value[k], again.value[k]) != 0)
			abort();
	if (memcmp(&c.workload, &again.workload, sizeof(c.workload)) != 0)
		abort();
}

static void try_version(const char *text)
{
	struct qemu_info q;
	memset(&q, 0, sizeof(q));
	if (qemu_parse_version(text, &q) == 0 && (!*q.version || !memchr(q.version, '\0', sizeof(q.version))))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	char *text = malloc(size);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (data[0] & 1)
		try_version(text);
	else
		try_config(text);
	free(text);
	return 0;
}
