/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a run's figures come from, as attributes (run.h lists them). Each call commits. */
#ifndef BIFOCAL_HOST_RUN_PROVENANCE_H
#define BIFOCAL_HOST_RUN_PROVENANCE_H

#include "host/run/run.h"

/* Before anything starts: configuration, seed, plugins, this host. */
int provenance_store_request(const struct runner *runner, const struct run_request *req, uint64_t run, struct error *err);
/* Once the guest runs: accelerator and QEMU; nothing when `vm` is NULL. */
int provenance_store_vm(struct store *store, uint64_t run, struct vm *vm, const struct accel_choice *accel, struct error *err);
/* "model name" of /proc/cpuinfo; dst is "" when there is none. */
char *provenance_cpu_model(char *dst, size_t cap);

#endif
