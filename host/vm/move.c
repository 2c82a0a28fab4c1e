/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A live migration on this node: a second QEMU takes the guest over.
 *
 * Both are given the same scratch file. A QEMU that waits for a guest keeps its disks inactive: it takes the file's lock, and looks into
 * it, when the other one has given it up at the hand-over. The run directory is one, the names in it differ.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/vm/vm_priv.h"

enum {
	GREET_MS = 2000,
	/* What QEMU itself takes beside the guest's memory. */
	QEMU_OVERHEAD = 128 << 20,
};

/* MemAvailable in bytes; UINT64_MAX where the kernel does not say. */
static uint64_t memory_available(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kb = 0;
	bool known = false;
	char line[128];

	while (f && !known && fgets(line, sizeof(line), f))
		known = sscanf(line, "MemAvailable: %llu", &kb) == 1;
	if (f)
		fclose(f);
	return known && kb < UINT64_MAX >> 10 ? (uint64_t)kb << 10 : UINT64_MAX;
}

static int check_memory(const struct vm *v, struct error *err)
{
	uint64_t need = config_uint(v->config, CFG_VM_MEMORY) + QEMU_OVERHEAD, have = memory_available();

	if (need <= have)
		return 0;
	return error_set(err, ERR_NO_SPACE, "no memory for a second guest: it takes %" PRIu64 " MiB, %" PRIu64 " are available; make vm.memory smaller",
			 need >> 20, have >> 20);
}

static void copy_files(struct vm_paths *to, const struct vm_paths *from)
{
#define COPY(what) memcpy(to->what, from->what, sizeof(to->what))
	COPY(scratch);
	COPY(kernel);
	COPY(initrd);
	COPY(disk_image);
	COPY(cmdline);
	COPY(ovmf_code);
	COPY(ovmf_vars);
#undef COPY
}

int vm_spare_start(struct vm *v, struct error *err)
{
	if (v->spare)
		return error_set(err, ERR_USAGE, "a migration is under way already");
	if (v->machines == VM_MACHINES_MAX)
		return error_set(err, ERR_LIMIT, "a guest migrates %d times in a run at most", VM_MACHINES_MAX - 1);
	if (check_memory(v, err))
		return -1;
	struct machine *m = calloc(1, sizeof(*m));
	if (!m)
		return error_set(err, ERR_LIMIT, "out of memory");
	machine_name_files(m, v->rundir.path, v->machines);
	copy_files(&m->paths, &v->now->paths);
	v->machine[v->machines++] = v->spare = m;
	if (!machine_start(v, m, err))
		return 0;
	vm_spare_drop(v);
	return -1;
}

int vm_spare_ready(struct vm *v, struct error *err)
{
	struct machine *m = v->spare;

	if (!m)
		return error_set(err, ERR_USAGE, "no QEMU was started for the guest to migrate to");
	if (!machine_alive(m, err))
		return error_prefix(err, "the QEMU to migrate to");
	if (m->qmp)
		return 1;
	/* The last thing it does before it serves its monitor. */
	if (access(m->paths.incoming, F_OK))
		return 0;
	return machine_greet(m, GREET_MS, err) ? error_prefix(err, "the QEMU to migrate to") : 1;
}

static int tell(struct vm *v, const char *command, const char *args, struct error *err)
{
	return vm_qmp(v, command, args, NULL, err);
}

int vm_spare_migrate(struct vm *v, struct error *err)
{
	char args[256];

	/* QEMU's default bandwidth is one for networks. */
	snprintf(args, sizeof(args), "{\"uri\": \"unix:%.180s\"}", v->spare->paths.incoming);
	if (tell(v, "migrate-set-capabilities", "{\"capabilities\": [{\"capability\": \"events\", \"state\": true}]}", err) ||
	    tell(v, "migrate-set-parameters", "{\"max-bandwidth\": 8589934592}", err))
		return -1;
	return tell(v, "migrate", args, err);
}

void vm_spare_promote(struct vm *v)
{
	struct machine *old = v->now;

	if (!v->spare)
		return;
	v->now = v->spare;
	v->spare = NULL;
	v->aim_at_spare = false;
	/* It has nothing left to lose, and would wait with its end for sockets that nobody reads. */
	process_kill(&old->process);
	qmp_close(old->qmp);
	old->qmp = NULL;
	unlink(old->paths.control);
	unlink(old->paths.data);
	unlink(old->paths.qmp);
	unlink(v->now->paths.incoming);
}

void vm_spare_end(struct vm *v)
{
	if (v->spare)
		process_kill(&v->spare->process);
}

void vm_spare_drop(struct vm *v)
{
	struct machine *m = v->spare;

	if (!m)
		return;
	v->spare = NULL;
	v->aim_at_spare = false;
	process_kill(&m->process);
	qmp_close(m->qmp);
	m->qmp = NULL;
}

bool vm_has_spare(const struct vm *v)
{
	return v->spare;
}

const struct vm_paths *vm_spare_paths(const struct vm *v)
{
	return v->spare ? &v->spare->paths : NULL;
}
