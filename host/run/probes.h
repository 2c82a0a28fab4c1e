/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The probes of a study: found and checked once (struct plugin), their guest halves shipped before each run,
 * their host halves sampled by timers inside the window (struct host_probes), samples kept in memory until it is over.
 */
#ifndef BIFOCAL_HOST_RUN_PROBES_H
#define BIFOCAL_HOST_RUN_PROBES_H

#include "common/loop.h"
#include "host/run/loss.h"
#include "host/vm/vm.h"
#include "lua/probe.h"
#include "store/store.h"

enum { PLUGINS_MAX = 16 };

struct plugin {
	char *path, *source, *options;   /* options: "key=value" lines */
	size_t len;
	char chunk[128];                 /* the file's name, for messages */
	char name[128], version[64];     /* as the probe declares them */
	bool has_guest, has_host;
	char sha256[65];
};

struct plugins {
	struct plugin item[PLUGINS_MAX];
	size_t n;
};

/* "cpu", "cpu:interval=50ms,other=1", "dir/mine.lua": finds, reads and checks it, options too. -1 with err: where it looked,
 * or file and line of its fault. */
int plugins_add(struct plugins *set, const char *argument, struct error *err);
void plugins_fini(struct plugins *set);
/* Reads a plugin's file of at most PROBE_SOURCE_MAX bytes; malloc'd. */
char *plugin_read(const char *path, size_t *len, struct error *err);

struct host_probes;

/* Loads the host halves. `vm` NULL: there is no VMM of ours to look at, so none runs. */
struct host_probes *host_probes_new(const struct plugins *set, struct vm *vm, struct error *err);
void host_probes_free(struct host_probes *h);
/* Start sampling on the loop's timers, and end it. Faults quarantine the probe concerned. */
void host_probes_start(struct host_probes *h, struct loop *loop);
void host_probes_stop(struct host_probes *h, struct loop *loop);
/* Series, samples and each probe's state (attributes probe.NAME.host); adds to the loss account. */
int host_probes_store(struct host_probes *h, struct store_batch *b, uint64_t run, struct loss *loss, struct error *err);

#endif
