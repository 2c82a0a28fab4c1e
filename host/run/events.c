/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/run/events.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/units.h"

#define SNAPSHOT_TAG "bifocal"
#define JOB_ID "bifocal-event"

enum {
	SETTLE_NS = 5000000,
	/* A migration, step by step: looked at so often, and how long each step may take. */
	MIGRATION_STEP_NS = 10000000,
	START_S = 20, COPY_S = 60, CANCEL_S = 10, LANDING_S = 10,
};

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
		return error_set(err, ERR_USAGE, "--event %.64s: \"%.32s\" is none of stop cont savevm loadvm migrate", text, colon + 1);
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

static unsigned count(const struct run_events *e, enum run_event_kind k)
{
	unsigned n = 0;

	for (size_t i = 0; i < e->n; i++)
		n += e->item[i].what == k;
	return n;
}

static int check_migrations(unsigned n, const struct config *c, struct error *err)
{
	if (!n)
		return 0;
	if (n >= VM_MACHINES_MAX)
		return error_set(err, ERR_USAGE, "--event migrate: %d in a run at most", VM_MACHINES_MAX - 1);
	if (!strcmp(config_str(c, CFG_DISK_BUS), "nvme"))
		return error_set(err, ERR_USAGE, "--event migrate: QEMU cannot migrate a VM with an NVMe disk; take another disk.bus");
	/* What the guest wrote to its boot disk is in a file that QEMU has unlinked. */
	if (strcmp(config_str(c, CFG_VM_BOOT), "direct") != 0)
		return error_set(err, ERR_USAGE, "--event migrate: a boot disk does not move along; take vm.boot=direct");
	return 0;
}

int run_events_check(const struct run_events *e, const struct config *c, struct error *err)
{
	const struct workload *w = &c->workload;
	bool snapshots = count(e, RUN_EVENT_SAVEVM) > 0;

	if (!e->n)
		return 0;
	if (check_order(e, err) || check_migrations(count(e, RUN_EVENT_MIGRATE), c, err))
		return -1;
	if (snapshots && (strcmp(config_str(c, CFG_DISK_FORMAT), "qcow2") != 0 || strcmp(config_str(c, CFG_DISK_BACKEND), "file") != 0))
		return error_set(err, ERR_USAGE, "--event savevm: the scratch disk holds no snapshot; add --vm disk.format=qcow2 (and disk.backend=file)");
	/* QEMU's NVMe device model refuses to be migrated, and a snapshot is a migration into a file. */
	if (snapshots && !strcmp(config_str(c, CFG_DISK_BUS), "nvme"))
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
	struct host_tsc began, ended;
	char why[256];
};

/* Of a migration: its QEMU starts, the memory is copied, it is called off, it is through and has to run on there. */
enum phase { STAYS, STARTING, COPYING, CANCELLING, LANDING };

struct event_player {
	const struct run_events *events;
	struct vm *vm;
	struct session *session;
	struct event_stage stage;
	enum phase phase;
	uint64_t phase_end_ns;
	bool paused;                   /* stopped for the sake of the migration */
	bool landed;                   /* it runs on there */
	char broken[200];              /* why the migration was called off */
	struct played played[RUN_EVENTS_MAX];
	size_t next;                   /* the one that waits, or is under way */
	size_t saved;                  /* number + 1 of the last savevm that went well; 0: none */
	uint64_t start_ns;
	int timer;
	bool stopped, over;
};

struct event_player *event_player_new(const struct run_events *events, const struct event_stage *stage, struct error *err)
{
	struct event_player *p = calloc(1, sizeof(*p));

	if (!p) {
		error_set(err, ERR_LIMIT, "out of memory");
		return NULL;
	}
	p->events = events;
	p->stage = *stage;
	p->vm = stage->vm;
	p->session = stage->session;
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
	d->ended = host_tsc_now();
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

/* ---- migration ---- */

static void step_migration(void *ctx);

static void enter_phase(struct event_player *p, enum phase phase, uint64_t seconds)
{
	p->phase = phase;
	p->phase_end_ns = monotonic_ns() + seconds * 1000000000;
}

static void wait_for_step(struct event_player *p)
{
	struct error err = { 0 };

	p->timer = p->over ? -1 : loop_timer(session_loop(p->session), MIGRATION_STEP_NS, 0, step_migration, p, &err);
	if (err.code)
		log_warn("event migrate: %s", err.text);
}

/* The guest is where it was. */
static void stays(struct event_player *p, const char *why)
{
	p->phase = STAYS;
	loop_timer_remove(session_loop(p->session), p->timer);
	p->timer = -1;
	vm_aim(p->vm, true);
	vantages_moved(p->stage.vantages, false);
	vm_aim(p->vm, false);
	session_move(p->session, false);
	vm_spare_drop(p->vm);
	if (p->paused)
		vm_qmp(p->vm, "cont", NULL, NULL, NULL);
	p->paused = false;
	finish(p, why);
}

/*
 * An emulated guest stands still while its memory is copied: of what an emulated vCPU writes meanwhile QEMU loses some. Seen with 7.2 on two busy
 * cores: in one of some ten live migrations the guest's kernel then found a block request that it had freed, and panicked.
 */
static int pause_guest(struct event_player *p, struct error *err)
{
	session_break(p->session, VM_MARK_STOP);
	p->paused = true;
	return vm_qmp(p->vm, "stop", NULL, NULL, err);
}

/* One that was stopped before it moved does not run by itself; and a cont that comes before the last of its state is forgotten, so it is told until
 * it says RESUME. */
static void let_run(struct event_player *p)
{
	struct error err = { 0 };

	if (!p->paused)
		return;
	vm_aim(p->vm, true);
	if (vm_qmp(p->vm, "cont", NULL, NULL, &err))
		log_warn("event migrate: %s", err.text);
	vm_aim(p->vm, false);
}

/* The other QEMU is there: everything that looks at the guest is made ready to look there, and off it goes. */
static int begin_copy(struct event_player *p, struct error *err)
{
	const struct vm_paths *paths = vm_spare_paths(p->vm);

	/* Before the guest comes, so that it sees its ports open all the time. */
	if (session_move_prepare(p->session, paths->control, paths->data, err))
		return -1;
	vm_aim(p->vm, true);
	vantages_follow(p->stage.vantages, p->stage.target);
	vm_aim(p->vm, false);
	if (vm_is_emulated(p->vm) && pause_guest(p, err))
		return -1;
	if (vm_spare_migrate(p->vm, err))
		return -1;
	enter_phase(p, COPYING, COPY_S);
	return 0;
}

static void has_moved(struct event_player *p)
{
	p->phase = STAYS;
	p->landed = p->paused = false;
	vantages_moved(p->stage.vantages, true);
	session_move(p->session, true);
	vm_spare_promote(p->vm);
	p->stage.target->pid = vm_pid(p->vm);
	finish(p, NULL);
}

/* Gives the bytes that QEMU said about a migration that did not come about. */
static void failure_text(struct event_player *p, char *dst, size_t cap)
{
	char *text = NULL;
	json_t *answer = vm_qmp(p->vm, "query-migrate", NULL, &text, NULL) ? NULL : json_loads(text, 0, NULL);
	const char *said = json_string_value(json_object_get(answer, "error-desc"));
	struct error how = { 0 };

	if (vm_has_spare(p->vm) && vm_spare_ready(p->vm, &how) < 0)
		said = how.text;
	snprintf(dst, cap, "the migration failed, the guest goes on where it was: %.*s", (int)cap - 64, said ? said : "QEMU does not say why");
	json_decref(answer);
	free(text);
}

static void call_off(struct event_player *p, const char *why)
{
	struct error err = { 0 };

	snprintf(p->broken, sizeof(p->broken), "%s", why);
	enter_phase(p, CANCELLING, CANCEL_S);
	if (vm_qmp(p->vm, "migrate_cancel", NULL, NULL, &err))
		log_warn("event migrate: %s", err.text);
}

/* The guest was handed over, and does not run there: the one that gave it away still has it. */
static void take_back(struct event_player *p, const char *why)
{
	struct error err = { 0 };
	char text[300];

	vm_spare_end(p->vm);
	snprintf(text, sizeof(text), "%.200s; the guest goes on where it was", why);
	if (vm_qmp(p->vm, "cont", NULL, NULL, &err))
		snprintf(text, sizeof(text), "%.120s, and cannot go on where it was: %.100s", why, err.text);
	p->paused = false;
	stays(p, text);
}

static void take_step(struct event_player *p)
{
	struct error err = { 0 };
	bool late = monotonic_ns() > p->phase_end_ns;
	int r = p->landed ? 1 : vm_spare_ready(p->vm, &err);

	switch (p->phase) {
	case STARTING:
		if (r > 0 && begin_copy(p, &err))
			r = -1;
		if (r < 0)
			stays(p, err.text);
		else if (!r && late)
			stays(p, "the QEMU to migrate to did not get ready in time");
		break;
	case COPYING:
		if (late)
			call_off(p, "the migration did not end in time: the guest changes its memory faster than it is copied");
		break;
	case CANCELLING:
		if (late)
			stays(p, p->broken);
		break;
	case LANDING:
		if (p->landed)
			has_moved(p);
		else if (r < 0 || late)
			take_back(p, r < 0 ? err.text : "the QEMU that the guest migrated to does not let it run");
		else
			let_run(p);
		break;
	default:
		break;
	}
}

static void step_migration(void *ctx)
{
	struct event_player *p = ctx;

	p->timer = -1;
	take_step(p);
	if (p->phase != STAYS)
		wait_for_step(p);
}

static void on_migration(struct event_player *p, const struct vm_event *e)
{
	char why[250];

	if (e->spare) {
		p->landed |= !strcmp(e->name, "RESUME");
		if (p->landed)
			p->phase = LANDING;
		return;
	}
	if (strcmp(e->name, "MIGRATION") != 0)
		return;
	if (!strcmp(e->status, "completed")) {
		enter_phase(p, LANDING, LANDING_S);
	} else if (!strcmp(e->status, "failed") || !strcmp(e->status, "cancelled")) {
		failure_text(p, why, sizeof(why));
		stays(p, p->phase == CANCELLING ? p->broken : why);
	}
}

static void start_migration(struct event_player *p)
{
	struct error err = { 0 };

	p->landed = false;
	if (vm_spare_start(p->vm, &err)) {
		finish(p, err.text);
		return;
	}
	enter_phase(p, STARTING, START_S);
	wait_for_step(p);
}

/* The window is over while the guest is on its way: it arrives, or stays. */
static void end_migration(struct event_player *p)
{
	p->over = true;
	if (p->phase == STARTING)
		stays(p, "the window closed before the guest was on its way");
	else if (p->phase == COPYING)
		call_off(p, "the window closed while the guest was on its way");
	while (p->phase != STAYS) {
		session_heed(p->session);
		take_step(p);
		nanosleep(&(struct timespec){ .tv_nsec = MIGRATION_STEP_NS }, NULL);
	}
}

/* ---- the others ---- */

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
	case RUN_EVENT_MIGRATE:
		start_migration(p);
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
	p->played[p->next].began = host_tsc_now();
	p->played[p->next].began_ns = monotonic_ns() - p->start_ns;
	if (k == RUN_EVENT_LOADVM && !p->saved) {
		finish(p, "no savevm went well before it");
		return;
	}
	/* A VM that stands still has its clock broken already; one that migrates runs on while it is copied, and QEMU says when it stops. */
	if (k != RUN_EVENT_CONT && k != RUN_EVENT_MIGRATE)
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

	if (p->phase != STAYS) {
		on_migration(p, e);
		return;
	}
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
	if (p->phase != STAYS)
		end_migration(p);
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
	if (d->outcome != WAITING && (put_attr_u64(b, run, KEY("began_ns"), d->began_ns, err) ||
				      put_attr_u64(b, run, KEY("began_tsc"), d->began.cycles, err)))
		return -1;
	if (d->outcome == DONE)
		return put_attr_u64(b, run, KEY("ended_ns"), d->ended_ns, err) || put_attr_u64(b, run, KEY("ended_tsc"), d->ended.cycles, err) ? -1 : 0;
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
