/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bifocal run: a study in guests of our own; bifocal attach: one run in somebody else's. */
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/units.h"
#include "host/args.h"
#include "host/cmd.h"
#include "host/open.h"
#include "host/run/study.h"
#include "host/trace/vantage.h"

struct run_args {
	struct args_list probes, vm, workload, vary, events;
	uint64_t repeat, seed;
	bool dry_run, json, destructive, verbose, self_check;
	const char *db, *disk, *socket, *data, *timeout;
};

static void print_vm_keys(FILE *out)
{
	fprintf(out, "\nKeys for --vm:\n");
	for (int k = 0; k < CONFIG_KEYS; k++) {
		const struct config_info *i = config_info((enum config_key)k);
		const char *choices = *i->choices ? i->choices : i->type;
		fprintf(out, "  %-20s %s\n  %-20s %s; default %s\n", i->key, i->help, "", choices, *i->def ? i->def : "empty");
	}
}

static void print_workload_keys(FILE *out)
{
	fprintf(out, "\nKeys for --workload (with or without \"workload.\" in front):\n");
	for (const struct workload_key *k = workload_keys(); k->key; k++)
		fprintf(out, "  %-20s %s\n  %-20s %s; default %s\n", k->key, k->help, "", k->type, k->def);
}

static void print_run_keys(FILE *out)
{
	fprintf(out, "\nWith none of --vm, --workload and --vary the default study runs: disk.bus=virtio-blk,ahci x iodepth=1,8,\n"
		"4 KiB random reads, 3 s each, with the cpu probe.\n"
		"--vary takes the keys of --vm and those of --workload.\n");
	print_vm_keys(out);
	print_workload_keys(out);
}

/* ---- from words to a study ---- */

static int set_vm(struct study *st, const char *assignment, struct error *err)
{
	char key[64], full[64];
	size_t len = strcspn(assignment, "=");
	if (assignment[len] != '=' || !len || len >= sizeof(key))
		return error_set(err, ERR_USAGE, "--vm \"%s\": write KEY=VALUE", assignment);
	snprintf(key, sizeof(key), "%.*s", (int)len, assignment);
	if (config_resolve(key, full, sizeof(full), err))
		return error_prefix(err, "--vm");
	if (!strncmp(full, "workload.", 9))
		return error_set(err, ERR_USAGE, "--vm %s: that is a key of the workload; write --workload %s", assignment, assignment);
	return config_set(&st->base, full, assignment + len + 1, err) ? error_prefix(err, "--vm") : 0;
}

static int set_workload(struct study *st, const char *assignment, struct error *err)
{
	static const char prefix[] = "workload.";
	char key[64];
	size_t skip = strncmp(assignment, prefix, sizeof(prefix) - 1) ? 0 : sizeof(prefix) - 1;
	size_t len = strcspn(assignment + skip, "=");
	if (assignment[skip + len] != '=' || !len || len >= sizeof(key))
		return error_set(err, ERR_USAGE, "--workload \"%s\": write KEY=VALUE", assignment);
	snprintf(key, sizeof(key), "%.*s", (int)len, assignment + skip);
	return workload_set(&st->base.workload, key, assignment + skip + len + 1, err) ? error_prefix(err, "--workload") : 0;
}

static int each(struct study *st, const struct args_list *list, int (*fn)(struct study *, const char *, struct error *), struct error *err)
{
	for (size_t i = 0; i < list->n; i++)
		if (fn(st, list->item[i], err))
			return -1;
	return 0;
}

static int add_event(struct study *st, const char *argument, struct error *err)
{
	return run_events_add(&st->events, argument, err);
}

static int add_probe(struct study *st, const char *argument, struct error *err)
{
	return plugins_add(&st->plugins, argument, err);
}

/* Paravirtualised against fully virtualised, alone and in company. */
static int default_study(struct study *st, struct error *err)
{
	if (set_workload(st, "runtime=3s", err) || study_vary(st, "disk.bus=virtio-blk,ahci", err) || study_vary(st, "workload.iodepth=1,8", err))
		return -1;
	return st->plugins.n ? 0 : add_probe(st, "cpu", err);
}

static int check_cells(const struct study *st, struct error *err)
{
	for (size_t i = 0; i < study_cells(st); i++) {
		struct config c;
		char cell[STUDY_CELL_TEXT];
		if (study_cell(st, i, &c, cell, sizeof(cell), err)) {
			err->code = ERR_USAGE;
			return -1;
		}
	}
	return 0;
}

static int build_study(struct study *st, const struct run_args *a, struct error *err)
{
	if (a->repeat < 1 || a->repeat > 10000)
		return error_set(err, ERR_USAGE, "--repeat %llu: between 1 and 10000", (unsigned long long)a->repeat);
	st->repeats = (unsigned)a->repeat;
	st->seed = a->seed;
	st->destructive = a->destructive;
	if (a->disk)
		st->disk = a->disk;
	if (each(st, &a->vm, set_vm, err) || each(st, &a->workload, set_workload, err) || each(st, &a->vary, study_vary, err) ||
	    each(st, &a->probes, add_probe, err) || each(st, &a->events, add_event, err))
		return -1;
	bool nothing = !a->vm.n && !a->workload.n && !a->vary.n && !a->socket;
	if (nothing && default_study(st, err))
		return -1;
	if (a->self_check && study_self_check(st, err))
		return -1;
	return check_cells(st, err);
}

/* Runs whose collector died, and what their VMs left behind. */
static int clean_up_after_the_dead(struct store *store, struct error *err)
{
	int n = store_recover(store, err);
	if (n < 0)
		return -1;
	if (n > 0)
		log_warn("%d run%s of a collector that died %s marked as partial", n, n == 1 ? "" : "s", n == 1 ? "is" : "are");
	return 0;
}

static int run_study(struct study *st, const struct run_args *a, const char *command, struct error *err)
{
	if (a->verbose)
		log_init("bifocal", LOG_INFO_LEVEL);
	if (a->dry_run)
		return study_print(st, a->json, err);
	struct store *store = open_database(a->db, STORE_WRITE, err);
	if (!store)
		return -1;
	if (!a->socket)
		vm_sweep();
	trace_sweep();
	int code = clean_up_after_the_dead(store, err) ? -1 : study_execute(st, store, command, a->json, err);
	store_close(store);
	return code;
}

static int build_and_run(const struct run_args *a, uint64_t greet_ns, int argc, char **argv, struct error *err)
{
	struct study st;
	autofree char *command = command_line(argc, argv, err);
	if (!command)
		return -1;
	study_init(&st);
	st.control = a->socket;
	st.data = a->data;
	st.greet_ns = greet_ns;
	int code = build_study(&st, a, err) ? -1 : run_study(&st, a, command, err);
	study_fini(&st);
	return code;
}

int cmd_run(int argc, char **argv, struct error *err)
{
	struct run_args a = { .repeat = 1, .seed = 1 };
	const struct arg_option options[] = {
		{ "probe", 'p', ARG_LIST, "NAME[:K=V,…]", "attach a probe, by name or path, with options", &a.probes },
		{ "vm", 'm', ARG_LIST, "KEY=VALUE", "set one key of the VM's configuration", &a.vm },
		{ "workload", 'w', ARG_LIST, "KEY=VALUE", "set one key of the workload, in fio's words", &a.workload },
		{ "vary", 'v', ARG_LIST, "KEY=V1,V2,…", "run every value; given again, every combination", &a.vary },
		{ "event", 'e', ARG_LIST, "AT:DO", "inside the window: stop, cont, savevm, loadvm or migrate the VM, AT after its opening", &a.events },
		{ "repeat", 'n', ARG_UINT, "N", "run every cell so often, interleaved (1)", &a.repeat },
		{ "seed", 's', ARG_UINT, "N", "seed of the order and of the workload's random numbers (1)", &a.seed },
		{ "disk", 'd', ARG_TEXT, "NAME", "serial or kernel name of the guest's disk (bifocal-scratch)", &a.disk },
		{ "destructive", 0, ARG_FLAG, NULL, "write to --disk even if it is not the scratch disk", &a.destructive },
		{ "self-check", 0, ARG_FLAG, NULL, "run every cell with tracing and without, and say what tracing cost", &a.self_check },
		{ "dry-run", 0, ARG_FLAG, NULL, "print what would run, and end", &a.dry_run },
		ARG_DB(&a.db),
		ARG_JSON(&a.json),
		{ "verbose", 0, ARG_FLAG, NULL, "say more on stderr", &a.verbose },
		{ 0 },
	};
	const struct arg_spec spec = { "run", "", "Boots a guest for every run, loads its disk, and stores what both sides saw.", options, 0, 0, print_run_keys };
	struct args rest;
	int r = args_parse(&spec, argc, argv, &rest, err);
	return r ? r < 0 ? -1 : EXIT_DONE : build_and_run(&a, 0, argc, argv, err);
}

/* NULL: not given. */
static int check_socket(const char *option, const char *path, struct error *err)
{
	const size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	size_t len = path ? strlen(path) : 1;
	if (!len)
		return error_set(err, ERR_USAGE, "attach: %s: an empty path", option);
	if (len > most)
		return error_set(err, ERR_USAGE, "attach: %s: a path of %zu bytes; a UNIX socket's has %zu at most", option, len, most);
	return 0;
}

int cmd_attach(int argc, char **argv, struct error *err)
{
	struct run_args a = { .repeat = 1, .seed = 1, .timeout = "10s" };
	const struct arg_option options[] = {
		{ "socket", 0, ARG_TEXT, "PATH", "UNIX socket of the guest's port org.bifocal.control.0", &a.socket },
		{ "data", 0, ARG_TEXT, "PATH", "UNIX socket of org.bifocal.data.0; without it one port does all", &a.data },
		{ "probe", 'p', ARG_LIST, "NAME[:K=V,…]", "attach a probe's guest half, by name or path, with options", &a.probes },
		{ "workload", 'w', ARG_LIST, "KEY=VALUE", "set one key of the workload, in fio's words", &a.workload },
		{ "seed", 's', ARG_UINT, "N", "seed of the workload's random numbers (1)", &a.seed },
		{ "disk", 'd', ARG_TEXT, "NAME", "serial or kernel name of the guest's disk (bifocal-scratch)", &a.disk },
		{ "destructive", 0, ARG_FLAG, NULL, "write to --disk even if it is not the scratch disk", &a.destructive },
		{ "timeout", 0, ARG_TEXT, "TIME", "longest wait for the agent's greeting (10s)", &a.timeout },
		ARG_DB(&a.db),
		ARG_JSON(&a.json),
		{ "verbose", 0, ARG_FLAG, NULL, "say more on stderr", &a.verbose },
		{ 0 },
	};
	const struct arg_spec spec = {
		"attach", "", "One run in a guest that somebody else booted from our image; its QEMU offers the ports as UNIX sockets.", options, 0, 0,
		print_workload_keys,
	};
	struct args rest;
	uint64_t greet_ns;
	int r = args_parse(&spec, argc, argv, &rest, err);
	if (r)
		return r < 0 ? -1 : EXIT_DONE;
	if (!a.socket)
		return error_set(err, ERR_USAGE, "attach: --socket PATH is missing");
	if (check_socket("--socket", a.socket, err) || check_socket("--data", a.data, err))
		return -1;
	if (parse_duration(a.timeout, &greet_ns, err))
		return error_prefix(err, "attach: --timeout");
	return build_and_run(&a, greet_ns, argc, argv, err);
}
