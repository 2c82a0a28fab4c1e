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
	struct open_source vmm, host;
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
	if (store_source(&v->vmm, v->vmm_absent, "vantage.vmm", b, run, loss, err))
		return -1;
	return store_source(&v->host, v->host_absent, "vantage.host", b, run, loss, err);
}
