/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/run/provenance.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/version.h"

char *provenance_cpu_model(char *dst, size_t cap)
{
	autofclose FILE *f = fopen("/proc/cpuinfo", "r");
	char line[512];
	dst[0] = 0;
	while (f && fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');
		if (strncmp(line, "model name", 10) != 0 || !colon)
			continue;
		snprintf(dst, cap, "%s", colon + 2);
		dst[strcspn(dst, "\n")] = 0;
		break;
	}
	return dst;
}

struct sink {
	struct store_batch *b;
	uint64_t run;
	struct error *err;
	bool failed;
	bool foreign;                  /* somebody else's guest: nothing is known of its VM's configuration */
};

static void put_key(void *ctx, const char *key, const char *text)
{
	struct sink *s = ctx;
	char full[STORE_KEY_MAX];
	/* The workload's keys carry their own first word. */
	bool workload = !strncmp(key, "workload.", 9);
	if (s->foreign && !workload)
		return;
	snprintf(full, sizeof(full), "%s%s", workload ? "" : "config.", key);
	s->failed = s->failed || put_attr(s->b, s->run, full, text, s->err);
}

static void put_text(struct sink *s, const char *key, const char *text)
{
	s->failed = s->failed || put_attr(s->b, s->run, key, text, s->err);
}

static void put_number(struct sink *s, const char *key, uint64_t v)
{
	s->failed = s->failed || put_attr_u64(s->b, s->run, key, v, s->err);
}

static void put_host(struct sink *s)
{
	struct utsname u;
	char text[512];
	if (uname(&u))
		return;
	snprintf(text, sizeof(text), "%s %s", u.release, u.version);
	put_text(s, "prov.host.kernel", text);
	put_text(s, "prov.host.node", u.nodename);
	put_text(s, "prov.host.cpu", provenance_cpu_model(text, sizeof(text)));
	put_number(s, "prov.host.cpus", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
}

static void put_plugin(struct sink *s, const struct plugin *p)
{
	const struct { const char *key, *text; } rows[] = {
		{ "version", p->version }, { "sha256", p->sha256 }, { "path", p->path }, { "options", p->options },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char key[STORE_KEY_MAX];
		snprintf(key, sizeof(key), "prov.plugin.%s.%s", p->name, rows[i].key);
		put_text(s, key, rows[i].text);
	}
}

static int sink_commit(struct sink *s)
{
	int failed = s->failed || store_commit(s->b, s->err) ? -1 : 0;
	store_batch_free(s->b);
	return failed;
}

int provenance_store_request(const struct runner *runner, const struct run_request *req, uint64_t run, struct error *err)
{
	struct sink s = { .b = store_batch_new(runner->store, err), .run = run, .err = err, .foreign = req->control };
	if (!s.b)
		return -1;
	config_each(req->config, put_key, &s);
	put_text(&s, "study.cell", req->cell);
	put_number(&s, "study.repeat", req->repeat);
	put_number(&s, "study.place", req->place);
	put_text(&s, "prov.version", BIFOCAL_VERSION);
	put_text(&s, "prov.command", runner->command);
	put_number(&s, "prov.seed", req->seed);
	put_host(&s);
	for (size_t i = 0; i < runner->plugins->n; i++)
		put_plugin(&s, &runner->plugins->item[i]);
	return sink_commit(&s);
}

int provenance_store_vm(struct store *store, uint64_t run, struct vm *vm, const struct accel_choice *accel, struct error *err)
{
	if (!vm)
		return 0;
	struct sink s = { .b = store_batch_new(store, err), .run = run, .err = err };
	if (!s.b)
		return -1;
	put_text(&s, "prov.accel", accel->kvm ? "kvm" : "tcg");
	put_text(&s, "prov.accel_why", accel->why);
	put_text(&s, "prov.qemu.version", vm_qemu(vm)->version);
	put_text(&s, "prov.qemu.path", vm_qemu(vm)->path);
	put_text(&s, "prov.qemu.command", vm_command_line(vm));
	return sink_commit(&s);
}
