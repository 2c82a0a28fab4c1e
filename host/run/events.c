/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/run/events.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/units.h"

#define SNAPSHOT_TAG "bifocal"
#define JOB_ID "bifocal-event"

enum { SETTLE_NS = 5000000 };

const char *run_event_name(enum run_event_kind k)
{
	static const char *const names[RUN_EVENT_KINDS] = {
#define E(NAME, name, text) [RUN_EVENT_##NAME] = #name,
		RUN_EVENT_TABLE(E)
#undef E
	};
	return k < RUN_EVENT_KINDS ? names[k] : "unknown";
}

/* ---- what is asked for ---- */

static int find_kind(const char *word, enum run_event_kind *out)
{
	for (int k = 0; k < RUN_EVENT_KINDS; k++) {
		*out = (enum run_event_kind)k;
		if (!strcmp(run_event_name(*out), word))
			return 0;
	}
	return -1;
}

int run_events_add(struct run_events *e, const char *text, struct error *err)
{
	const char *colon = strrchr(text, ':');
	char at[32];
	uint64_t ns;
	enum run_event_kind what;

	if (!colon || colon == text || (size_t)(colon - text) >= sizeof(at))
		return error_set(err, ERR_USAGE, "--event \"%.64s\": write AT:DO, like 500ms:stop", text);
	snprintf(at, sizeof(at), "%.*s", (int)(colon - text), text);
	if (parse_duration(at, &ns, err))
		return error_prefix(err, "--event %.64s", text);
	if (find_kind(colon + 1, &what))
		return error_set(err, ERR_USAGE, "--event %.64s: \"%.32s\" is none of stop cont savevm loadvm", text, colon + 1);
	if (e->n == RUN_EVENTS_MAX)
		return error_set(err, ERR_USAGE, "--event: %d at most", RUN_EVENTS_MAX);
	size_t i = e->n++;
	for (; i > 0 && e->item[i - 1].at_ns > ns; i--)
		e->item[i] = e->item[i - 1];
	e->item[i].at_ns = ns;
	e->item[i].what = what;
	return 0;
}

static int check_order(const struct run_events *e, struct error *err)
{
	bool stopped = false, saved = false;

	for (size_t i = 0; i < e->n; i++) {
		enum run_event_kind k = e->item[i].what;
		if (k == RUN_EVENT_STOP && stopped)
			return error_set(err, ERR_USAGE, "--event: a stop of a VM that is stopped; put a cont between the two");
		if (k == RUN_EVENT_CONT && !stopped)
			return error_set(err, ERR_USAGE, "--event: a cont without a stop before it");
		if (k != RUN_EVENT_CONT && stopped)
			return error_set(err, ERR_USAGE, "--event: a %s of a VM that is stopped; put a cont before it", run_event_name(k));
		if (k == RUN_EVENT_LOADVM && !saved)
			return error_set(err, ERR_USAGE, "--event: a loadvm without a savevm before it");
		stopped = k == RUN_EVENT_STOP;
		saved = saved || k == RUN_EVENT_SAVEVM;
	}
	if (stopped)
		return error_set(err, ERR_USAGE, "--event: the last stop has no cont after it: the window would never close");
	return 0;
}

static bool snapshots(const struct run_events *e)
{
	for (size_t i = 0; i < e->n; i++)
		if (e->item[i].what == RUN_EVENT_SAVEVM)
			return true;
	return false;
}

int run_events_check(const struct run_events *e, const struct config *c, struct error *err)
{
	const struct workload *w = &c->workload;

	if (!e->n)
		return 0;
	if (check_order(e, err))
		return -1;
	if (snapshots(e) && (strcmp(config_str(c, CFG_DISK_FORMAT), "qcow2") != 0 || strcmp(config_str(c, CFG_DISK_BACKEND), "file") != 0))
		return error_set(err, ERR_USAGE, "--event savevm: the scratch disk holds no snapshot; add --vm disk.format=qcow2 (and disk.backend=file)");
	/* QEMU's NVMe device model refuses to be migrated, and a snapshot is a migration into a file. */
	if (snapshots(e) && !strcmp(config_str(c, CFG_DISK_BUS), "nvme"))
		return error_set(err, ERR_USAGE, "--event savevm: QEMU cannot save a VM with an NVMe disk; take another disk.bus");
	if (w->runtime && e->item[e->n - 1].at_ns >= w->runtime + w->ramp_time)
		return error_set(err, ERR_USAGE, "--event: the last one comes %.3f s after the window's opening, which is %.3f s long",
				 (double)e->item[e->n - 1].at_ns / 1e9, (double)(w->runtime + w->ramp_time) / 1e9);
	return 0;
}

/* ---- in the window ---- */

enum outcome { WAITING, UNDER_WAY, DONE, FAILED };

struct played {
	enum outcome outcome;
	uint64_t began_ns, ended_ns;   /* after the window's opening */
	char why[256];
};

struct event_player {
	const struct run_events *events;
	struct vm *vm;
	struct session *session;
	struct played played[RUN_EVENTS_MAX];
	size_t next;                   /* the one that waits, or is under way */
	size_t saved;                  /* number + 1 of the last savevm that went well; 0: none */
	uint64_t start_ns;
	int timer;
	bool stopped, over;
};

struct event_player *event_player_new(const struct run_events *events, struct vm *vm, struct session *session, struct error *err)
{
	struct event_player *p = calloc(1, sizeof(*p));

	if (!p) {
		error_set(err, ERR_LIMIT, "out of memory");
		return NULL;
	}
	p->events = events;
	p->vm = vm;
	p->session = session;
	p->timer = -1;
	return p;
}

void event_player_free(struct event_player *p)
{
	if (!p)
		return;
	event_player_stop(p);
	free(p);
}

static void on_time(void *ctx);

static void wait_for_next(struct event_player *p, uint64_t patience_ns)
{
	struct error err = { 0 };
	uint64_t now = monotonic_ns() - p->start_ns;

	if (p->over || p->next == p->events->n)
		return;
	uint64_t at = p->events->item[p->next].at_ns, wait = at > now ? at - now : 0;
	p->timer = loop_timer(session_loop(p->session), wait > patience_ns ? wait : patience_ns, 0, on_time, p, &err);
	if (p->timer < 0)
		log_warn("the events from %.3f s on do not come: %s", (double)at / 1e9, err.text);
}

static void finish(struct event_player *p, const char *why)
{
	struct played *d = &p->played[p->next];

	d->ended_ns = monotonic_ns() - p->start_ns;
	d->outcome = why ? FAILED : DONE;
	if (!why && p->events->item[p->next].what == RUN_EVENT_SAVEVM)
		p->saved = p->next + 1;
	if (why) {
		snprintf(d->why, sizeof(d->why), "%.250s", why);
		log_warn("event %s: %s", run_event_name(p->events->item[p->next].what), why);
		session_renew(p->session);
	}
	p->next++;
	wait_for_next(p, 0);
}

/* Each savevm has a name of its own, since QEMU writes over none; loadvm takes the last that went well. */
static int start_job(struct event_player *p, bool save, struct error *err)
{
	char args[256];

	snprintf(args, sizeof(args), "{\"job-id\": \"" JOB_ID "\", \"tag\": \"" SNAPSHOT_TAG "-%zu\", \"vmstate\": \"scratch\", \"devices\": [\"scratch\"]}",
		 save ? p->next + 1 : p->saved);
	return vm_qmp(p->vm, save ? "snapshot-save" : "snapshot-load", args, NULL, err);
}

/* stop and cont are over with their answer; a snapshot is a job, whose end QEMU tells with an event. */
static void carry_out(struct event_player *p, enum run_event_kind k)
{
	struct error err = { 0 };
	int r;

	switch (k) {
	case RUN_EVENT_STOP:
		/* Refused or late: a cont more does no harm, and the window needs a guest that runs. */
		p->stopped = true;
		r = vm_qmp(p->vm, "stop", NULL, NULL, &err);
		finish(p, r ? err.text : NULL);
		return;
	case RUN_EVENT_CONT:
		r = vm_qmp(p->vm, "cont", NULL, NULL, &err);
		p->stopped = r != 0;
		finish(p, r ? err.text : NULL);
		return;
	default:
		/* A QEMU that is busy saving answers late, and the answer is not waited for: the job's end is. */
		if (start_job(p, k == RUN_EVENT_SAVEVM, &err) && err.code != ERR_TIMEOUT)
			finish(p, err.text);
	}
}

static void on_time(void *ctx)
{
	struct event_player *p = ctx;
	enum run_event_kind k = p->events->item[p->next].what;

	p->timer = -1;
	/* An epoch that nobody observed would be none: the burst after the event before goes first. */
	if (!session_settled(p->session)) {
		wait_for_next(p, SETTLE_NS);
		return;
	}
	p->played[p->next].outcome = UNDER_WAY;
	p->played[p->next].began_ns = monotonic_ns() - p->start_ns;
	if (k == RUN_EVENT_LOADVM && !p->saved) {
		finish(p, "no savevm went well before it");
		return;
	}
	/* A VM that stands still has its clock broken already. */
	if (k != RUN_EVENT_CONT)
		session_break(p->session, k == RUN_EVENT_LOADVM ? VM_MARK_LOADVM : VM_MARK_STOP);
	carry_out(p, k);
}

/* What QEMU says of our job, once it is concluded; NULL when it went well. */
static char *job_error(struct event_player *p)
{
	char *text = NULL, *why = NULL;
	struct error err = { 0 };

	if (vm_qmp(p->vm, "query-jobs", NULL, &text, &err))
		return strdup(err.text);
	json_t *jobs = json_loads(text, 0, NULL);
	for (size_t i = 0; i < json_array_size(jobs); i++) {
		const json_t *j = json_array_get(jobs, i);
		const char *id = json_string_value(json_object_get(j, "id")), *said = json_string_value(json_object_get(j, "error"));
		if (id && said && !strcmp(id, JOB_ID))
			why = strdup(said);
	}
	json_decref(jobs);
	free(text);
	return why;
}

static void on_event(void *ctx, const struct vm_event *e)
{
	struct event_player *p = ctx;

	if (p->next == p->events->n || p->played[p->next].outcome != UNDER_WAY || strcmp(e->name, "JOB_STATUS_CHANGE") != 0 ||
	    strcmp(e->id, JOB_ID) != 0 || strcmp(e->status, "concluded") != 0)
		return;
	char *why = job_error(p);
	struct error err = { 0 };
	if (vm_qmp(p->vm, "job-dismiss", "{\"id\": \"" JOB_ID "\"}", NULL, &err) && !why)
		log_warn("%s", err.text);
	finish(p, why);
	free(why);
}

void event_player_start(struct event_player *p)
{
	p->start_ns = monotonic_ns();
	session_on_event(p->session, on_event, p);
	wait_for_next(p, 0);
}

void event_player_stop(struct event_player *p)
{
	p->over = true;
	session_on_event(p->session, NULL, NULL);
	loop_timer_remove(session_loop(p->session), p->timer);
	p->timer = -1;
	if (p->stopped)
		vm_qmp(p->vm, "cont", NULL, NULL, NULL);
	p->stopped = false;
}

static int store_one(const struct event_player *p, size_t i, struct store_batch *b, uint64_t run, struct error *err)
{
	const struct played *d = &p->played[i];
	char key[64];
#define KEY(what) (snprintf(key, sizeof(key), "event.%zu." what, i), key)
	if (put_attr_u64(b, run, KEY("at"), p->events->item[i].at_ns, err) || put_attr(b, run, KEY("do"), run_event_name(p->events->item[i].what), err))
		return -1;
	if (d->outcome != WAITING && put_attr_u64(b, run, KEY("began_ns"), d->began_ns, err))
		return -1;
	if (d->outcome == DONE)
		return put_attr_u64(b, run, KEY("ended_ns"), d->ended_ns, err);
	return put_attr(b, run, KEY("error"), d->outcome == FAILED ? d->why : d->outcome == WAITING ? "the window closed before" :
			"the window closed while it was under way", err);
#undef KEY
}

int event_player_store(const struct event_player *p, struct store_batch *b, uint64_t run, struct error *err)
{
	int failed = 0;

	for (size_t i = 0; i < p->events->n; i++) {
		if (store_one(p, i, b, run, err))
			return -1;
		failed += p->played[i].outcome != DONE;
	}
	return failed;
}
