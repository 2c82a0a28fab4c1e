/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/run/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attribute/attribute.h"
#include "common/log.h"
#include "common/tsc.h"
#include "host/run/provenance.h"
#include "host/run/session.h"
#include "host/run/stop.h"
#include "host/run/summary.h"
#include "host/trace/vantage.h"

enum {
	ANCHOR_TRIES = 32,
	/* The TSC's frequency is worth waiting for: 100 ms between the anchors leave some ppm. */
	ANCHOR_NS = 100000000,
	POWEROFF_MS = 3000,
	/* KVM that works greets in seconds, nested too; of the boot's timeout one third is enough before emulation gets its try. */
	KVM_SHARE = 3,
};

/* Beyond the window's planned length: I/Os in flight on a slow disk, and an emulated guest's pace. */
static const uint64_t window_grace_ns = 60000000000;

struct run {
	struct runner *runner;
	const struct run_request *req;
	uint64_t number;
	struct vm *vm;
	struct session *session;
	struct host_probes *probes;
	struct event_player *player;   /* NULL: no events were asked for */
	struct trace_target target;
	struct vantages *vantages;
	struct accel_choice accel;
	struct tsc_anchor first;
	struct session_ready ready;
	uint64_t host_hz, guest_hz;
	bool started;                  /* the window was opened: what follows is partial, not failed */
	struct loss loss;              /* of this side; the guest's is in the intake */
};

/* ---- the guest ---- */

/* What was chosen and why, once, and again when it changes. */
static void say_accel(struct runner *runner, const struct accel_choice *a)
{
	if (!strcmp(runner->accel_said, a->why))
		return;
	snprintf(runner->accel_said, sizeof(runner->accel_said), "%s", a->why);
	progress_clear(&runner->progress);
	fprintf(stderr, "accelerator: %s\n", a->why);
}

static int boot(struct run *r, struct error *err)
{
	const struct config *c = r->req->config;
	uint64_t timeout = config_uint(c, CFG_VM_BOOT_TIMEOUT);
	if (accel_choose(c, r->runner->kvm_failed, &r->accel, err))
		return -1;
	say_accel(r->runner, &r->accel);
	progress_show(&r->runner->progress, r->accel.kvm ? "boot (kvm)" : "boot (tcg)", -1);
	r->vm = vm_start(c, &r->accel, err);
	if (!r->vm || stop_check(err))
		return -1;
	const struct vm_paths *p = vm_paths(r->vm);
	r->session = session_new(r->runner->store, r->vm, p->control, p->data, err);
	if (!r->session)
		return -1;
	bool may_fall_back = r->accel.kvm && !strcmp(config_str(c, CFG_VM_ACCEL), "auto");
	return session_greet(r->session, may_fall_back ? timeout / KVM_SHARE : timeout, err);
}

static void tear_down(struct run *r)
{
	event_player_free(r->player);
	vantages_free(r->vantages);
	host_probes_free(r->probes);
	session_free(r->session);
	vm_free(r->vm);
	r->player = NULL;
	r->vantages = NULL;
	r->probes = NULL;
	r->session = NULL;
	r->vm = NULL;
}

/* A guest that KVM never brought to its greeting, or whose QEMU KVM brought down. */
static bool may_be_kvm(const struct run *r, const struct error *err)
{
	return r->accel.kvm && (err->code == ERR_TIMEOUT || err->code == ERR_FAILED || err->code == ERR_IO);
}

/* It gets one more try under emulation, where the accelerator was ours to choose. */
static bool falls_back(const struct run *r, const struct error *err)
{
	return may_be_kvm(r, err) && !strcmp(config_str(r->req->config, CFG_VM_ACCEL), "auto");
}

/* In front, since the words of QEMU or the console that the error ends with may be many. */
static void advise(const struct run *r, struct error *err)
{
	if (may_be_kvm(r, err))
		error_prefix(err, "no guest under vm.accel=kvm (`bifocal doctor` says whether KVM works here; vm.accel=auto falls back to emulation)");
}

static int get_guest(struct run *r, struct error *err)
{
	if (r->req->control) {
		r->session = session_new(r->runner->store, NULL, r->req->control, r->req->data, err);
		return r->session ? session_greet(r->session, r->req->greet_ns, err) : -1;
	}
	if (!boot(r, err))
		return 0;
	if (!falls_back(r, err)) {
		advise(r, err);
		return -1;
	}
	log_warn("under KVM %s", err->text);
	log_warn("falling back to emulation (tcg)");
	r->runner->kvm_failed = true;
	tear_down(r);
	*err = (struct error){ 0 };
	return boot(r, err);
}

/* ---- the clocks' frequencies ---- */

static void sleep_ns(long ns)
{
	struct timespec ts = { .tv_nsec = ns };
	nanosleep(&ts, NULL);
}

static uint64_t measure_hz(const struct run *r, double *error_hz)
{
	struct tsc_anchor now = tsc_anchor_take(CLOCK_MONOTONIC_RAW, ANCHOR_TRIES);
	if (now.ns - r->first.ns < ANCHOR_NS) {
		sleep_ns((long)(ANCHOR_NS - (now.ns - r->first.ns)));
		now = tsc_anchor_take(CLOCK_MONOTONIC_RAW, ANCHOR_TRIES);
	}
	return tsc_hz_between(&r->first, &now, error_hz);
}

/* Epochs that hold every exchange between the breaks that were announced prove one oscillator at one rate: a drift would have emptied an intersection. The guest's
 * own measure is much coarser, and is asked only where there is no such proof: its TSC may be scaled, or count instructions. */
static uint64_t choose_guest_hz(const struct run *r, uint64_t host)
{
	struct tsc_scale scale = session_scale(r->session);
	if (scale.ratio)
		return tsc_scale_up(scale, host);
	uint64_t guest = session_guest(r->session)->tsc_hz;
	uint64_t apart = host > guest ? host - guest : guest - host;
	bool proved = clock_track_epochs(session_clock_track(r->session)) && !session_jumps(r->session);
	if (!guest || proved || apart <= host / 500)
		return host;
	return guest;
}

/* ---- the steps ---- */

/* No clock is a loss, not a failure: everything but the crossing is still worth having. */
static int clock_side(struct run *r, struct error *err)
{
	progress_show(&r->runner->progress, "clock", -1);
	if (!session_clock(r->session, err))
		return 0;
	if (err->code != ERR_TIMEOUT)
		return -1;
	log_warn("%s", err->text);
	*err = (struct error){ 0 };
	r->loss.clock++;
	return 0;
}

static uint8_t trace_wish(const struct config *c)
{
	const char *way = config_str(c, CFG_TRACE_GUEST);
	return strcmp(way, "off") == 0 ? TRACE_WISH_OFF : strcmp(way, "tracefs") == 0 ? TRACE_WISH_TRACEFS : TRACE_WISH_ANY;
}

static int prepare(struct run *r, struct error *err)
{
	char workload[WORKLOAD_TEXT_MAX];
	const struct run_request *q = r->req;
	r->host_hz = measure_hz(r, NULL);
	r->guest_hz = choose_guest_hz(r, r->host_hz);
	const struct session_prepare p = {
		.workload = workload_print(&q->config->workload, workload, sizeof(workload)),
		.disk = q->disk, .destructive = q->destructive, .seed = q->seed, .tsc_hz = r->guest_hz,
		.trace = trace_wish(q->config), .trace_memory = config_uint(q->config, CFG_TRACE_MEMORY),
	};
	progress_show(&r->runner->progress, "prepare", -1);
	return session_prepare(r->session, &p, &r->ready, err);
}

static uint64_t planned_ns(const struct workload *w)
{
	return w->runtime ? w->runtime + w->ramp_time : 0;
}

/* I/Os to expect at most: what rate or number_ios say; else nobody knows. */
static uint64_t planned_ios(const struct workload *w)
{
	uint64_t by_rate = (uint64_t)((double)(w->rate_iops * w->numjobs) * (double)planned_ns(w) / 1e9);
	uint64_t by_number = w->number_ios * w->numjobs;
	return by_number && (!by_rate || by_number < by_rate) ? by_number : by_rate;
}

static int open_vantages(struct run *r, struct error *err)
{
	const struct config *c = r->req->config;
	bool file = r->vm && !strcmp(config_str(c, CFG_DISK_BACKEND), "file");
	r->target = (struct trace_target){
		.config = c, .vm = r->vm, .pid = session_vmm_pid(r->session), .scratch = file ? vm_paths(r->vm)->scratch : NULL,
		.window_ns = planned_ns(&c->workload), .ios = planned_ios(&c->workload),
	};
	r->vantages = vantages_open(&r->target, err);
	return r->vantages ? 0 : -1;
}

static void window_tick(void *ctx, uint64_t ns)
{
	struct run *r = ctx;
	uint64_t planned = planned_ns(&r->req->config->workload);
	vantages_tick(r->vantages);
	progress_show(&r->runner->progress, "window", planned ? (double)ns / (double)planned : -1);
}

static void drain_tick(void *ctx, uint64_t ns)
{
	struct run *r = ctx;
	const struct intake_run *in = intake_now(session_intake(r->session));
	double all = (double)in->report.recorded;
	(void)ns;
	progress_show(&r->runner->progress, "drain", all > 0 ? (double)in->records / all : -1);
}

/* The session's side of the run as far as it is known, into the batch. */
static int store_session(struct run *r, struct error *err)
{
	struct store_batch *b = intake_batch(session_intake(r->session));
	double hz_error = 0;
	uint64_t hz = measure_hz(r, &hz_error);
	if (session_store(r->session, r->number, err) ||
	    put_attr_u64(b, r->number, "host.tsc_hz", hz, err) ||
	    put_attr_f64(b, r->number, "host.tsc_hz_error", hz_error, err))
		return -1;
	return put_attr_u64(b, r->number, "guest.tsc_hz", choose_guest_hz(r, hz), err);
}

static int window(struct run *r, struct error *err)
{
	struct intake *in = session_intake(r->session);
	const struct workload *w = &r->req->config->workload;
	bool open_ended = !w->runtime || w->verify != WL_VERIFY_none;
	/* All that is known goes into the store first: should this collector die, another finds what the records need. */
	if (store_session(r, err) || put_attr_u64(intake_batch(in), r->number, "window.start", host_tsc_now().cycles, err) ||
	    intake_commit(in, err))
		return -1;
	const struct event_stage stage = { r->vm, r->session, r->vantages, &r->target };
	if (r->req->events && r->req->events->n && !(r->player = event_player_new(r->req->events, &stage, err)))
		return -1;
	r->started = true;
	host_probes_start(r->probes, session_loop(r->session));
	vantages_start(r->vantages);
	if (r->player)
		event_player_start(r->player);
	int end = session_window(r->session, open_ended ? 0 : planned_ns(w) + window_grace_ns, window_tick, r, err);
	if (r->player)
		event_player_stop(r->player);
	vantages_stop(r->vantages);
	host_probes_stop(r->probes, session_loop(r->session));
	return end;
}

static void report_window(const struct run *r, struct error *err)
{
	const struct intake_run *in = intake_now(session_intake(r->session));
	const struct msg_run_done *d = &in->report;
	if (d->code && d->code != ERR_INTERRUPTED)
		error_set(err, ERR_FAILED, "the guest's agent: %s", in->done_text);
}

/* From a guest that has greeted to a window's records in the store. 0, or -1 with err; r->started tells how far it came. */
static int measure(struct run *r, struct error *err)
{
	struct session *s = r->session;
	if (session_take_late(s, err))
		return -1;
	session_begin(s, r->number);
	if (session_store_guest(s, r->number, err) || intake_commit(session_intake(s), err))
		return -1;
	r->probes = host_probes_new(r->runner->plugins, r->vm, err);
	if (!r->probes || clock_side(r, err) || session_probes(s, r->runner->plugins, err) || open_vantages(r, err) || prepare(r, err))
		return -1;
	int end = window(r, err);
	if (end < 0)
		return -1;
	struct error drained = { 0 };
	if (session_drain(s, drain_tick, r, &drained)) {
		if (!end)
			*err = drained;
		return -1;
	}
	if (end)
		return -1;
	report_window(r, err);
	return clock_side(r, err) || err->code ? -1 : 0;
}

/* ---- the end ---- */

static int store_events(struct run *r, struct error *err)
{
	int failed = r->player ? event_player_store(r->player, intake_batch(session_intake(r->session)), r->number, err) : 0;
	r->loss.event = failed > 0 ? (uint64_t)failed : 0;
	return failed < 0 ? -1 : 0;
}

static int store_all(struct run *r, struct error *err)
{
	struct intake *in = session_intake(r->session);
	if (store_session(r, err) || store_events(r, err))
		return -1;
	if (r->vantages && vantages_store(r->vantages, intake_batch(in), r->number, &intake_now(in)->loss, err))
		return -1;
	if (r->probes && host_probes_store(r->probes, intake_batch(in), r->number, &intake_now(in)->loss, err))
		return -1;
	/* The sandwich reads what both kernels saw, so that has to be in the store. */
	if (intake_commit(in, err) || session_sandwich(r->session, r->number, err))
		return -1;
	return intake_commit(in, err);
}

/* Where the time went, from what is stored by now. It can be done again at any time, so a failure is no failure of the run. */
static void attribute(struct run *r)
{
	struct error err = { 0 };
	struct wbuf packed;
	struct store_batch *b = intake_batch(session_intake(r->session));
	struct attribution *a = calloc(1, sizeof(*a));
	progress_show(&r->runner->progress, "attribute", -1);
	wbuf_heap(&packed, 1 << 20);
	int failed = a ? attribute_run(r->runner->store, r->number, NULL, NULL, a, &err) : error_set(&err, ERR_LIMIT, "out of memory");
	if (!failed)
		attribution_pack(&packed, a);
	if (!failed && packed.bad)
		failed = error_set(&err, ERR_LIMIT, "the result is too large");
	if (failed || put_result(b, r->number, (struct span){ packed.p, packed.len }, &err) || store_commit(b, &err))
		log_warn("run %llu: attribution: %s; `bifocal attribute %llu` tries again", (unsigned long long)r->number, err.text, (unsigned long long)r->number);
	wbuf_fini(&packed);
	free(a);
}

static void account(struct run *r)
{
	struct intake_run *now = intake_now(session_intake(r->session));
	struct summary_counts c;
	if (now->done && now->report.recorded > now->records)
		now->loss.io_missing = now->report.recorded - now->records;
	if (now->records && !summary_count(r->runner->store, r->number, &c, NULL))
		now->loss.io_outside = c.outside;
	now->loss.guest = session_lost(r->session);
	now->loss.window |= r->started && !now->done;
	now->loss.clock += r->loss.clock;
	now->loss.event = r->loss.event;
	now->loss.probe += session_quarantined(r->session);
	r->loss = now->loss;
}

static int put_end(struct run *r, struct store_batch *b, enum run_status status, const struct error *why, struct error *err)
{
	if (put_loss(b, r->number, &r->loss, err))
		return -1;
	if (why->code && (put_attr_u64(b, r->number, "error.code", why->code, err) || put_attr(b, r->number, "error.text", why->text, err)))
		return -1;
	if (put_run_status(b, r->number, status, err))
		return -1;
	return store_commit(b, err);
}

/* Says how the run ended; on a disk too full for that, store_recover() says it at the next start. */
static void store_end(struct run *r, enum run_status status, const struct error *why)
{
	struct error err = { 0 };
	struct store_batch *b = store_batch_new(r->runner->store, &err);
	if (!b || put_end(r, b, status, why, &err))
		log_error("run %llu: its end could not be stored: %s", (unsigned long long)r->number, err.text);
	if (b)
		store_batch_free(b);
}

static enum run_status judge(const struct run *r, int failed)
{
	if (failed)
		return r->started ? RUN_PARTIAL : RUN_FAILED;
	return loss_any(&r->loss) ? RUN_PARTIAL : RUN_COMPLETE;
}

static void end_guest(struct run *r)
{
	if (!r->session)
		return;
	if (r->vm && !session_lost(r->session)) {
		session_poweroff(r->session);
		vm_stop(r->vm, POWEROFF_MS, NULL);
	}
}

static void finish(struct run *r, int failed, struct run_result *out)
{
	struct error err = { 0 };
	if (r->session && intake_now(session_intake(r->session))->run) {
		/* A store that failed once is not asked again; what it has stays. */
		if (!intake_failure(session_intake(r->session))->code && store_all(r, &err) && !failed) {
			out->error = err;
			failed = -1;
		}
		if (r->started && !intake_failure(session_intake(r->session))->code)
			attribute(r);
		account(r);
	}
	end_guest(r);
	tear_down(r);
	out->status = judge(r, failed);
	store_end(r, out->status, &out->error);
}

int run_one(struct runner *runner, const struct run_request *req, struct run_result *out)
{
	struct run r = { .runner = runner, .req = req, .first = tsc_anchor_take(CLOCK_MONOTONIC_RAW, ANCHOR_TRIES) };
	*out = (struct run_result){ .status = RUN_FAILED };
	if (store_run_create(runner->store, runner->study, &r.number, &out->error))
		return -1;
	out->run = r.number;
	if (!runner->study)
		runner->study = r.number;
	int failed = provenance_store_request(runner, req, r.number, &out->error) || get_guest(&r, &out->error) ||
		     provenance_store_vm(runner->store, r.number, r.vm, &r.accel, &out->error) || measure(&r, &out->error);
	finish(&r, failed ? -1 : 0, out);
	/* A window that QEMU or a signal cut short leaves a partial run; whether the verb failed is the caller's to say. */
	return out->status == RUN_FAILED || out->error.code == ERR_INTERRUPTED ? -1 : 0;
}
