// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/tsc.h"
#include "common/version.h"
#include "guest/agent.h"
#include "guest/ptp.h"

/* How often buffers that are too small are looked at: events of one CPU seldom come faster than this many bytes a second. */
#define TRACE_RATE (64 << 20)
#define TRACE_LOOK_MIN_NS 2000000ULL
#define TRACE_LOOK_MAX_NS 100000000ULL

static void complain(struct channel *ch, uint64_t run, const struct error *what)
{
	struct error err = { 0 };
	struct msg_error m = { .run = run, .code = (uint32_t)what->code, .text = span_of(what->text) };

	log_warn("%s", what->text);
	if (channel_send_error(ch, &m, CHANNEL_DROP_OLDEST, &err) < 0)
		log_error("%s", err.text);
}

/* A start that is due counts: more commands may have come with it in one read. */
static bool is_busy(const struct agent *a)
{
	return a->start_due || a->run.state == RUN_WINDOW || a->run.state == RUN_VERIFYING || a->run.state == RUN_OVER;
}

static void on_greet(struct agent *a, struct channel *ch, const struct msg_greet *m)
{
	char ports[128], theirs[64];
	struct error err = { 0 };

	if (m->protocol != PROTOCOL_VERSION) {
		span_text(m->version, theirs, sizeof(theirs));
		error_set(&err, ERR_VERSION, "the image's agent is " BIFOCAL_VERSION " and speaks protocol %d, the collector is %s and speaks %u; rebuild the image with `make image`",
			  PROTOCOL_VERSION, theirs, m->protocol);
		complain(ch, 0, &err);
		return;
	}
	agent_port_names(a, ports, sizeof(ports));
	if (greet_hello(&a->greet, ports, ch, &err) < 0)
		log_error("greeting: %s", err.text);
	a->owes_disks = ch;
	if (a->disks_settled)
		session_disks(a);
}

void session_disks(struct agent *a)
{
	struct error err = { 0 };

	if (a->owes_disks && greet_disks(&a->greet, a->owes_disks, &err) < 0)
		log_error("greeting: %s", err.text);
	a->owes_disks = NULL;
}

static void on_clock_ping(struct agent *a, struct channel *ch, const struct msg_clock_ping *m)
{
	struct error err = { 0 };
	struct msg_clock_pong pong = { .id = m->id, .t1 = m->t1, .t2 = agent_port_of(a, ch)->read_tsc };

	/* The flush follows as soon as the input is taken in. */
	pong.t3 = tsc_read();
	if (channel_send_clock_pong(ch, &pong, CHANNEL_DROP_OLDEST, &err) < 0)
		log_error("clock: %s", err.text);
}

static void on_clock_pair(struct agent *a, struct channel *ch, const struct msg_clock_pair *m)
{
	struct error err = { 0 };
	struct msg_clock_paired paired;

	ptp_read(a->options->root, &paired);
	paired.id = m->id;
	if (channel_send_clock_paired(ch, &paired, CHANNEL_DROP_OLDEST, &err) < 0)
		log_error("clock: %s", err.text);
}

/* True, and said to the collector, while a run goes on or its records are not all sent. */
static bool refuse_busy(const struct agent *a, struct channel *ch, uint64_t run, const char *what)
{
	struct error err = { 0 };

	if (!is_busy(a))
		return false;
	error_set(&err, ERR_REFUSED, "%s: the agent is busy with run %" PRIu64 ", whose records are not all sent; wait for its run_drained", what, a->run.id);
	complain(ch, run, &err);
	return true;
}

static void on_probe_clear(struct agent *a, struct channel *ch)
{
	if (!refuse_busy(a, ch, 0, "probe_clear"))
		probes_clear(&a->probes);
}

static void on_probe_load(struct agent *a, struct channel *ch, const struct msg_probe_load *m)
{
	struct probe_verdict v;
	struct error err = { 0 };

	if (refuse_busy(a, ch, 0, "probe_load"))
		return;
	probes_load(&a->probes, m, &v);
	struct msg_probe_state state = { .probe = m->probe, .state = (uint8_t)v.state, .text = span_of(v.reason.text) };
	if (channel_send_probe_state(ch, &state, CHANNEL_DROP_OLDEST, &err) < 0)
		log_error("probe: %s", err.text);
}

/* In the agent's first millisecond its own clock has no length to be measured over. */
static uint64_t own_tsc_hz(const struct agent *a)
{
	const struct timespec wait = { .tv_nsec = 2000000 };
	uint64_t hz = greet_tsc_hz(&a->greet);

	if (hz)
		return hz;
	nanosleep(&wait, NULL);
	return greet_tsc_hz(&a->greet);
}

static int read_request(const struct agent *a, const struct msg_run_prepare *m, char *disk, size_t cap, struct run_request *q, struct error *err)
{
	if (workload_parse(&q->w, (const char *)m->workload.p, m->workload.len, err))
		return error_prefix(err, "run %" PRIu64, m->run);
	if (m->disk.len >= cap)
		return error_set(err, ERR_LIMIT, "run %" PRIu64 ": a disk's name has at most %zu bytes", m->run, cap - 1);
	q->id = m->run;
	q->seed = m->seed;
	q->hz = m->tsc_hz ? m->tsc_hz : own_tsc_hz(a);
	q->disk = span_text(m->disk, disk, cap);
	q->destructive = m->destructive == 1;
	return 0;
}

static void on_run_prepare(struct agent *a, struct channel *ch, const struct msg_run_prepare *m)
{
	char disk[DISK_TEXT_MAX];
	struct run_request q = { 0 };
	struct error err = { 0 };

	if (refuse_busy(a, ch, m->run, "run_prepare"))
		return;
	trace_release(&a->trace);
	if (read_request(a, m, disk, sizeof(disk), &q, &err) || run_prepare(&a->run, &q, &err)) {
		complain(ch, m->run, &err);
		return;
	}
	if (m->trace == TRACE_WISH_ANY || m->trace == TRACE_WISH_TRACEFS)
		trace_prepare(&a->trace, &(struct trace_request){ .driver = a->run.target.driver, .w = &a->run.w, .size = a->run.target.size, .memory = m->trace_memory,
			.tracefs = m->trace == TRACE_WISH_TRACEFS });
	a->asked_by = ch;
	struct msg_run_ready ready = {
		.run = m->run,
		.disk = span_of(a->run.target.name),
		.capacity = a->run.capacity,
		.memory = a->run.memory.bytes,
		.device = a->run.target.device,
		.trace_bytes = a->trace.bytes_per_cpu,
		.trace_live = a->trace.live,
		.trace_source = span_of(a->trace.source),
	};
	if (channel_send_run_ready(ch, &ready, CHANNEL_DROP_OLDEST, &err) < 0)
		log_error("run %" PRIu64 ": %s", m->run, err.text);
}

static void on_run_start(struct agent *a, struct channel *ch, const struct msg_run_start *m)
{
	struct error err = { 0 };

	if (a->run.state == RUN_PREPARED && a->run.id == m->run && !a->start_due) {
		a->asked_by = ch;
		a->start_due = true;
		return;
	}
	error_set(&err, ERR_REFUSED, "run %" PRIu64 ": it is not prepared, so it cannot start; send run_prepare first", m->run);
	complain(ch, m->run, &err);
}

static void on_run_abort(struct agent *a, const struct msg_run_abort *m)
{
	if (a->run.state == RUN_IDLE || a->run.id != m->run || a->run.state == RUN_OVER)
		return;
	a->start_due = false;
	run_abort(&a->run);
	if (a->run.state == RUN_OVER)
		drain_begin(&a->drain);
}

static void on_poweroff(struct agent *a)
{
	a->poweroff = true;
	loop_stop(a->loop);
}

/* 0, or -1 with err when the payload is malformed. */
static int dispatch(struct agent *a, struct channel *ch, uint16_t type, struct span payload, struct error *err)
{
#define CASE(NAME, name, call) \
	case MSG_##NAME: { \
		struct msg_##name m; \
		if (msg_##name##_decode(payload, &m, err)) \
			return -1; \
		call; \
		return 0; \
	}
	switch (type) {
	CASE(GREET, greet, on_greet(a, ch, &m))
	CASE(CLOCK_PING, clock_ping, on_clock_ping(a, ch, &m))
	CASE(CLOCK_PAIR, clock_pair, on_clock_pair(a, ch, &m))
	CASE(PROBE_CLEAR, probe_clear, on_probe_clear(a, ch))
	CASE(PROBE_LOAD, probe_load, on_probe_load(a, ch, &m))
	CASE(RUN_PREPARE, run_prepare, on_run_prepare(a, ch, &m))
	CASE(RUN_START, run_start, on_run_start(a, ch, &m))
	CASE(RUN_ABORT, run_abort, on_run_abort(a, &m))
	CASE(POWEROFF, poweroff, on_poweroff(a))
	default:
		return 0;
	}
#undef CASE
}

void session_message(struct agent *a, struct channel *ch, uint16_t type, struct span payload, uint64_t seq)
{
	struct error err = { 0 };

	if (dispatch(a, ch, type, payload, &err)) {
		error_prefix(&err, "%s from the collector", msg_name(type));
		complain(ch, 0, &err);
	}
	if (seq)
		channel_ack(ch, seq);
}

/* ---- trace buffers that are too small for the window ---- */

static void drain_trace(struct agent *a)
{
	struct channel *ch = agent_data_channel(a);

	a->behind = !ch || !trace_send_live(&a->trace, ch, a->run.id);
}

/* The ports stay quiet as long as the buffers hold what comes; once they do not, they are not quiet until the window's end. */
static void look_at_trace(void *agent)
{
	struct agent *a = agent;

	if (!a->draining && trace_is_filling(&a->trace)) {
		a->draining = true;
		agent_quiet(a, false);
		log_info("run %" PRIu64 ": the trace buffers are too small for the window and are drained while it is open", a->run.id);
	}
	if (!a->draining)
		return;
	drain_trace(a);
	for (int role = 0; role < PORT_COUNT; role++)
		port_flush(&a->port[role]);
}

static void watch_trace(struct agent *a)
{
	struct error err = { 0 };

	if (!a->trace.live)
		return;
	/* A quarter of a buffer between two looks. */
	uint64_t ns = a->trace.bytes_per_cpu / 4 * 1000000000 / TRACE_RATE;
	ns = ns < TRACE_LOOK_MIN_NS ? TRACE_LOOK_MIN_NS : ns > TRACE_LOOK_MAX_NS ? TRACE_LOOK_MAX_NS : ns;
	a->drain_timer = loop_timer(a->loop, ns, ns, look_at_trace, a, &err);
	if (a->drain_timer < 0)
		log_error("trace: %s", err.text);
}

/* ---- the window ---- */

static void open_window(struct agent *a)
{
	a->start_due = false;
	agent_quiet(a, true);
	probes_start(&a->probes);
	watch_trace(a);
	trace_start(&a->trace);
	run_start(&a->run);
}

static void close_window(struct agent *a)
{
	probes_stop(&a->probes);
	loop_timer_remove(a->loop, a->drain_timer);
	a->drain_timer = -1;
	a->draining = a->behind = false;
	agent_quiet(a, false);
}

/* A stage of the run is over: the window, or the reading back. */
static void step_run(struct agent *a)
{
	enum run_state before = a->run.state;

	/* What is read back is no part of the window. */
	if (run_jobs_ended(&a->run))
		trace_stop(&a->trace);
	run_step(&a->run);
	if (before == RUN_WINDOW && a->run.state != RUN_WINDOW)
		close_window(a);
	if (before != RUN_OVER && a->run.state == RUN_OVER)
		drain_begin(&a->drain);
}

void session_step(struct agent *a)
{
	if (a->start_due)
		open_window(a);
	if (a->run.state == RUN_WINDOW || a->run.state == RUN_VERIFYING)
		step_run(a);
	if (a->behind)
		drain_trace(a);
	if (a->run.state == RUN_OVER && drain_step(&a->drain, a->asked_by, agent_data_channel(a))) {
		run_release(&a->run);
		trace_release(&a->trace);
	}
}
