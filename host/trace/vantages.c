/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which sources see for which vantage, and their way through a run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "host/trace/vantage.h"

enum { ABSENT_MAX = 1024 };

struct open_source {
	const struct vantage_source *source;
	void *self;
	bool started;
};

struct vantages {
	struct open_source vmm, host;  /* the vmm's: of the QEMU that has the guest */
	struct open_source past[VM_MACHINES_MAX];   /* of those that had it; stopped */
	struct open_source next;       /* of the one that is to take it over */
	struct trace_target target[VM_MACHINES_MAX];
	unsigned moves;
	bool following;
	char left[VM_MACHINES_MAX][TRACE_WHY_MAX];  /* why the VMM is not seen from that migration on; "" if it is, or was not before */
	char host_left[TRACE_WHY_MAX];
	char vmm_absent[ABSENT_MAX], host_absent[ABSENT_MAX];
};

/* Best first: stamps of the TSC before a log's microseconds, binary before text. */
static const struct { const char *choice; const struct vantage_source *source; } vmm_sources[] = {
	{ "usdt", &vmm_usdt },
	{ "simple", &vmm_simple },
	{ "log", &vmm_log },
};

static void add_reason(char *dst, const char *name, const char *why)
{
	size_t n = strlen(dst);
	snprintf(dst + n, ABSENT_MAX - n, "%s%s%s%s", n ? "; " : "", name, *name ? ": " : "", why);
}

static void open_vmm(struct vantages *v, const struct trace_target *t)
{
	const char *choice = config_str(t->config, CFG_TRACE_VMM);
	char why[TRACE_WHY_MAX];
	if (!strcmp(choice, "off")) {
		add_reason(v->vmm_absent, "", "trace.vmm=off");
		return;
	}
	for (size_t i = 0; i < sizeof(vmm_sources) / sizeof(vmm_sources[0]); i++) {
		if (strcmp(choice, "auto") != 0 && strcmp(choice, vmm_sources[i].choice) != 0)
			continue;
		why[0] = 0;
		v->vmm.self = vmm_sources[i].source->open(t, why);
		if (v->vmm.self) {
			v->vmm.source = vmm_sources[i].source;
			return;
		}
		add_reason(v->vmm_absent, vmm_sources[i].choice, why);
	}
}

static void open_host(struct vantages *v, const struct trace_target *t)
{
	char why[TRACE_WHY_MAX] = "";
	if (!config_bool(t->config, CFG_TRACE_HOST)) {
		add_reason(v->host_absent, "", "trace.host=off");
		return;
	}
	v->host.self = host_kernel.open(t, why);
	if (v->host.self)
		v->host.source = &host_kernel;
	else
		add_reason(v->host_absent, "", why);
}

struct vantages *vantages_open(const struct trace_target *t, struct error *err)
{
	struct vantages *v = calloc(1, sizeof(*v));
	if (!v) {
		error_set(err, ERR_LIMIT, "out of memory");
		return NULL;
	}
	if (config_bool(t->config, CFG_TRACE_ENABLED)) {
		open_vmm(v, t);
		open_host(v, t);
	} else {
		add_reason(v->vmm_absent, "", "trace.enabled=off");
		add_reason(v->host_absent, "", "trace.enabled=off");
	}
	return v;
}

static void close_source(struct open_source *o)
{
	if (o->self)
		o->source->free(o->self);
	*o = (struct open_source){ 0 };
}

void vantages_free(struct vantages *v)
{
	if (!v)
		return;
	for (unsigned i = 0; i < v->moves; i++)
		close_source(&v->past[i]);
	close_source(&v->next);
	close_source(&v->vmm);
	close_source(&v->host);
	free(v);
}

static void start(struct open_source *o, char *absent)
{
	struct error err = { 0 };
	if (!o->self)
		return;
	if (!o->source->start(o->self, &err)) {
		o->started = true;
		return;
	}
	log_warn("%s: %s", o->source->name, err.text);
	add_reason(absent, o->source->name, err.text);
	close_source(o);
}

/* The host's kernel first: what the VMM is told to do may wake its threads. */
void vantages_start(struct vantages *v)
{
	start(&v->host, v->host_absent);
	start(&v->vmm, v->vmm_absent);
}

void vantages_tick(struct vantages *v)
{
	if (v->vmm.started)
		v->vmm.source->tick(v->vmm.self);
	if (v->host.started)
		v->host.source->tick(v->host.self);
}

static void stop(struct open_source *o)
{
	if (o->started)
		o->source->stop(o->self);
}

void vantages_stop(struct vantages *v)
{
	stop(&v->vmm);
	stop(&v->host);
}

/* ---- a guest that migrates ---- */

static int start_next(struct vantages *v, const struct trace_target *t, char why[TRACE_WHY_MAX])
{
	const struct vantage_source *source = v->vmm.source;
	struct error err = { 0 };

	if (!source->again) {
		snprintf(why, TRACE_WHY_MAX, "the source %s does not follow a guest to another QEMU", source->name);
		return -1;
	}
	v->next = (struct open_source){ .source = source, .self = source->open(t, why) };
	if (!v->next.self)
		return -1;
	if (source->start(v->next.self, &err)) {
		snprintf(why, TRACE_WHY_MAX, "%.*s", TRACE_WHY_MAX - 1, err.text);
		close_source(&v->next);
		return -1;
	}
	v->next.started = true;
	return 0;
}

static void follow_host(struct vantages *v, pid_t pid)
{
	struct error err = { 0 };

	if (v->host.started && v->host.source->follow && v->host.source->follow(v->host.self, pid, &err))
		snprintf(v->host_left, sizeof(v->host_left), "%.*s", TRACE_WHY_MAX - 1, err.text);
}

void vantages_follow(struct vantages *v, const struct trace_target *t)
{
	unsigned n = v->moves + 1;
	char why[TRACE_WHY_MAX] = "";

	if (n >= VM_MACHINES_MAX)
		return;
	v->following = true;
	v->target[n] = *t;
	v->target[n].moves = n;
	v->target[n].pid = vm_pid(t->vm);
	v->left[n][0] = '\0';
	if (v->vmm.started && start_next(v, &v->target[n], why))
		snprintf(v->left[n], sizeof(v->left[n]), "%s", why);
	follow_host(v, v->target[n].pid);
}

void vantages_moved(struct vantages *v, bool moved)
{
	if (!v->following)
		return;
	v->following = false;
	if (!moved) {
		stop(&v->next);
		close_source(&v->next);
		return;
	}
	unsigned n = v->moves++;
	stop(&v->vmm);
	v->past[n] = v->vmm;
	v->vmm = v->next;
	v->next = (struct open_source){ 0 };
	if (v->left[n + 1][0])
		log_warn("QEMU's trace ends with the migration: %s", v->left[n + 1]);
	follow_host(v, v->target[n + 1].pid);
}

/* Sightings of the VMM that nobody made, for a reason that is told. */
static int store_left(const struct vantages *v, struct store_batch *b, uint64_t run, struct loss *loss, struct error *err)
{
	char key[64];

	for (unsigned i = 1; i <= v->moves; i++) {
		if (!v->left[i][0])
			continue;
		loss->trace_vmm++;
		snprintf(key, sizeof(key), "absent.after.%u.vmm", i);
		if (put_attr(b, run, key, v->left[i], err))
			return -1;
	}
	loss->trace_host += v->host_left[0] != '\0';
	return v->host_left[0] ? put_attr(b, run, "absent.after.host", v->host_left, err) : 0;
}

/* ---- the store ---- */

static int store_source(struct open_source *o, const char *absent, const char *key, struct store_batch *b, uint64_t run, struct loss *loss,
			struct error *err)
{
	char text[ABSENT_MAX + 16];
	if (o->started) {
		if (o->source->store(o->self, b, run, loss, err))
			return -1;
		o->started = false;
		return put_attr(b, run, key, o->source->name, err);
	}
	/* Stored already, and stored again at the run's end. */
	if (o->self)
		return 0;
	snprintf(text, sizeof(text), "absent: %s", *absent ? absent : "no source");
	return put_attr(b, run, key, text, err);
}

int vantages_store(struct vantages *v, struct store_batch *b, uint64_t run, struct loss *loss, struct error *err)
{
	const char *none = v->vmm_absent;
	for (unsigned i = 0; i < v->moves; i++) {
		if (v->past[i].self && store_source(&v->past[i], none, "vantage.vmm", b, run, loss, err))
			return -1;
	}
	if (store_left(v, b, run, loss, err))
		return -1;
	/* The one that was there before the migrations names the vantage. */
	if ((v->vmm.self || !v->moves || !v->past[0].self) && store_source(&v->vmm, none, "vantage.vmm", b, run, loss, err))
		return -1;
	return store_source(&v->host, v->host_absent, "vantage.host", b, run, loss, err);
}
