/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration of one VM: dotted keys, one table. Struct, parser, help text, manual page and
 * attributes in the store come from host/config_keys.h; the workload's keys (common/workload.h) join them as
 * workload.KEY, so that --vary takes either kind.
 */
#ifndef BIFOCAL_HOST_CONFIG_H
#define BIFOCAL_HOST_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/workload.h"
#include "host/config_keys.h"

#define CONFIG_TEXT_MAX 256

struct config {
	/* One string a key, normalised ("4k", "on"), indexed by enum config_key. */
	char value[CONFIG_KEYS][CONFIG_TEXT_MAX];
	struct workload workload;
};

struct config_info {
	const char *key, *type, *def, *choices, *help;
};
const struct config_info *config_info(enum config_key k);

void config_default(struct config *c);
/* Any dotted key; "workload.bs" and "bs" both reach the workload, "cpus" reaches vm.cpus where no other key
 * ends so. Unknown keys and values name the nearest. */
int config_set(struct config *c, const char *key, const char *value, struct error *err);
/* "key=value". */
int config_assign(struct config *c, const char *assignment, struct error *err);
const char *config_str(const struct config *c, enum config_key k);
uint64_t config_uint(const struct config *c, enum config_key k);       /* uint, size (bytes), duration (ns) */
bool config_bool(const struct config *c, enum config_key k);
/* The full dotted name behind what a user typed: "iodepth" → "workload.iodepth". -1 with err when unknown or ambiguous. */
int config_resolve(const char *typed, char *full, size_t cap, struct error *err);
/* The value of a full dotted name as text. */
const char *config_get(const struct config *c, const char *full, char *buf, size_t cap);
/* Calls fn with every dotted name and its text, VM keys first. */
void config_each(const struct config *c, void (*fn)(void *ctx, const char *key, const char *text), void *ctx);
/* What no single key can tell: qcow2 on null-co, iothread on ahci … */
int config_check(const struct config *c, struct error *err);

#endif
