/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/run/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/log.h"
#include "common/version.h"
#include "host/run/session_priv.h"
#include "host/run/stop.h"

/* ---- what comes in ---- */

#define COPY(dst, field) span_text(field, dst, sizeof(dst))

static void on_hello(struct session *s, const struct msg_hello *m)
{
	struct guest *g = &s->guest;
	*g = (struct guest){
		.protocol = m->protocol, .cpus = m->cpus, .boot_id = m->boot_id, .instance = g->instance,
		.memory = m->memory, .tsc_hz = m->tsc_hz, .uptime_ns = m->uptime_ns,
	};
	COPY(g->version, m->version);
	COPY(g->kernel, m->kernel);
	COPY(g->tsc_flags, m->tsc_flags);
	COPY(g->clocksource, m->clocksource);
	COPY(g->tracing, m->tracing);
	COPY(g->ports, m->ports);
	s->hello_end = false;
}

static void on_disk(struct session *s, const struct msg_disk *m)
{
	if (s->guest.disks == GUEST_DISKS_MAX)
		return;
	struct guest_disk *d = &s->guest.disk[s->guest.disks++];
	COPY(d->name, m->name);
	COPY(d->serial, m->serial);
	COPY(d->driver, m->driver);
	COPY(d->scheduler, m->scheduler);
	d->size = m->size;
	d->logical_block = m->logical_block;
	d->physical_block = m->physical_block;
	d->queues = m->queues;
	d->writable = m->writable != 0;
}

static void on_probe_state(struct session *s, const struct msg_probe_state *m)
{
	if (!s->plugins || m->probe >= s->plugins->n)
		return;
	struct probe_answer *a = &s->answer[m->probe];
	a->known = true;
	a->state = m->state;
	COPY(a->text, m->text);
	if (m->state == PROBE_QUARANTINED)
		log_warn("probe %s, guest half: quarantined: %s", s->plugins->item[m->probe].name, a->text);
	s->probes_answered = true;
	for (size_t i = 0; i < s->plugins->n; i++)
		s->probes_answered = s->probes_answered && s->answer[i].known;
}

static void on_ready(struct session *s, const struct msg_run_ready *m)
{
	if (m->run != intake_now(s->intake)->run)
		return;
	COPY(s->ready_report.disk, m->disk);
	s->ready_report.capacity = m->capacity;
	s->ready_report.memory = m->memory;
	s->ready_report.device = m->device;
	s->ready_report.trace_bytes = m->trace_bytes;
	s->ready_report.trace_live = m->trace_live != 0;
	COPY(s->ready_report.trace_source, m->trace_source);
	intake_device(s->intake, m->device);
	s->ready = true;
}

static void on_error(struct session *s, const struct msg_error *m)
{
	char text[1024];
	COPY(text, m->text);
	if (m->run && m->run != intake_now(s->intake)->run) {
		log_warn("guest, about run %llu: %s", (unsigned long long)m->run, text);
		return;
	}
	bool known = m->code > ERR_NONE && m->code <= ERR_PLUGIN;
	error_set(&s->refused, known ? (enum err_code)m->code : ERR_FAILED, "the guest's agent: %s", text);
}

static void on_log(const struct msg_log *m)
{
	char text[1024];
	COPY(text, m->text);
	log_line(m->level <= LOG_DEBUG_LEVEL ? (enum log_level)m->level : LOG_INFO_LEVEL, "guest: %s", text);
}

/* 0, or -1 with err when the payload is malformed. */
static int dispatch(struct session *s, uint16_t type, struct span payload, struct host_tsc at, struct error *err)
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
	CASE(HELLO, hello, on_hello(s, &m))
	CASE(DISK, disk, on_disk(s, &m))
	CASE(HELLO_END, hello_end, s->hello_end = true)
	CASE(CLOCK_PONG, clock_pong, session_on_pong(s, &m, at))
	CASE(CLOCK_PAIRED, clock_paired, session_on_paired(s, &m))
	CASE(PROBE_STATE, probe_state, on_probe_state(s, &m))
	CASE(RUN_READY, run_ready, on_ready(s, &m))
	CASE(ERROR, error, on_error(s, &m))
	CASE(LOG, log, on_log(&m))
	default:
		return 0;
	}
#undef CASE
}

static void on_message(void *ctx, enum link_port port, uint16_t type, struct span payload, uint64_t seq, struct host_tsc at)
{
	struct session *s = ctx;
	struct error err = { 0 };
	if (intake_message(s->intake, port, type, payload, seq)) {
		s->done = intake_now(s->intake)->done;
		s->drained = intake_now(s->intake)->drained;
		return;
	}
	if (dispatch(s, type, payload, at, &err)) {
		intake_now(s->intake)->loss.message_bad++;
		log_warn("%s port: malformed %s refused: %s", link_port_name(port), msg_name(type), err.text);
	}
	intake_pass(s->intake, port, seq);
}

static bool same_id(const struct id16 *a, const struct id16 *b)
{
	return !memcmp(a->b, b->b, sizeof(a->b));
}

static uint64_t on_peer_seen(void *ctx, enum link_port port, const struct id16 *peer)
{
	static const struct id16 nobody;
	struct session *s = ctx;
	uint64_t seq = 0;
	if (!same_id(&s->guest.instance, &nobody) && !same_id(&s->guest.instance, peer))
		error_set(&s->lost, ERR_FAILED, "the guest rebooted: its agent is another one now");
	s->guest.instance = *peer;
	store_peer_seq(s->store, peer, (uint8_t)port, &seq, NULL);
	return seq;
}

static void on_closed(void *ctx, enum link_port port, const char *why)
{
	struct session *s = ctx;
	if (!s->lost.code)
		error_set(&s->lost, ERR_FAILED, "the guest is gone: %s port: %s", link_port_name(port), why);
}

static const struct link_ops link_ops = { .message = on_message, .peer_seen = on_peer_seen, .closed = on_closed };

/* ---- waiting ---- */

enum { CONSOLE_LINES = 12, CONSOLE_SEARCHED = 60, CONSOLE_ROOM = 900 };

/* From the line on that says why a kernel panicked; its call trace pushes it out of the last lines. NULL: it did not. */
static char *find_panic(char *text)
{
	char *at = strstr(text, "Kernel panic - ");
	while (at && at > text && at[-1] != '\n')
		at--;
	return at;
}

/* The console's last words, or a panic's first, in `room` bytes. */
static char *console_words(const struct session *s, char *dst, size_t room)
{
	char all[8192], *panic;
	vm_console_tail(s->vm, CONSOLE_SEARCHED, all, sizeof(all));
	panic = find_panic(all);
	if (!panic)
		return vm_console_tail(s->vm, CONSOLE_LINES, dst, room);
	char *end = panic;
	for (int i = 0; i < CONSOLE_LINES && *end; i++)
		end += strcspn(end, "\n") + (end[strcspn(end, "\n")] == '\n');
	snprintf(dst, room, "%.*s", (int)(end - panic) - (end > panic && end[-1] == '\n'), panic);
	return dst;
}

/* A kernel that panics ends QEMU without a word of its own: the console has it. `hint`: say so when it is empty, too. */
static void add_console(const struct session *s, bool hint, struct error *err)
{
	static const char head[] = "; the serial console's last lines:\n";
	char words[CONSOLE_ROOM];
	size_t used = strlen(err->text), room = sizeof(err->text) - used;
	if (!s->vm || room < sizeof(head) + 80)
		return;
	room -= sizeof(head) - 1;
	if (*console_words(s, words, room < sizeof(words) ? room : sizeof(words)))
		snprintf(err->text + used, sizeof(err->text) - used, "%s%s", head, words);
	else if (hint)
		snprintf(err->text + used, sizeof(err->text) - used, "; the serial console is empty (--vm vm.console=on lets the agent write to it)");
}

/* QEMU's end explains a closed port better than the port does; its sockets close a little before it can be waited for. */
static void explain_loss(struct session *s)
{
	struct error how = { 0 };
	int tries = s->lost.code ? 50 : 1;
	while (s->vm && tries-- > 0) {
		if (!vm_alive(s->vm, &how)) {
			error_set(&s->lost, ERR_FAILED, "the guest is gone: %s", how.text);
			add_console(s, false, &s->lost);
			return;
		}
		if (tries)
			nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
}

int session_turn(struct session *s, struct error *err)
{
	if (loop_once(s->loop, SESSION_SLICE_MS * 1000000ull, err))
		return -1;
	intake_tick(s->intake);
	if (!s->stopping && stop_check(err))
		return -1;
	if (intake_failure(s->intake)->code) {
		*err = *intake_failure(s->intake);
		return -1;
	}
	session_heed_events(s);
	explain_loss(s);
	if (s->lost.code) {
		*err = s->lost;
		return -1;
	}
	if (s->refused.code) {
		*err = s->refused;
		s->refused = (struct error){ 0 };
		return -1;
	}
	return 0;
}

int session_wait(struct session *s, const bool *flag, uint64_t ms, const char *what, struct error *err)
{
	uint64_t end = monotonic_ns() + ms * 1000000;
	link_flush(s->link);
	while (!*flag) {
		if (session_turn(s, err))
			return -1;
		if (!*flag && monotonic_ns() >= end)
			return error_set(err, ERR_TIMEOUT, "waited %llu s for %s", (unsigned long long)(ms + 999) / 1000, what);
	}
	return 0;
}

/* ---- beginning and end ---- */

struct session *session_new(struct store *store, struct vm *vm, const char *control, const char *data, struct error *err)
{
	struct session *s = calloc(1, sizeof(*s));
	struct id16 self;
	if (!s) {
		error_set(err, ERR_LIMIT, "out of memory");
		return NULL;
	}
	s->store = store;
	s->vm = vm;
	s->burst_timer = -1;
	if (getrandom(&self, sizeof(self), 0) != sizeof(self)) {
		error_sys(err, errno, "getrandom");
		goto fail;
	}
	s->loop = loop_new(err);
	s->clock = s->loop ? clock_track_new(err) : NULL;
	s->intake = s->clock ? intake_new(store, err) : NULL;
	s->link = s->intake ? link_new(s->loop, &self, control, data, &link_ops, s, err) : NULL;
	if (!s->link)
		goto fail;
	intake_attach(s->intake, s->link);
	return s;
fail:
	session_free(s);
	return NULL;
}

void session_free(struct session *s)
{
	if (!s)
		return;
	session_close_methods(s);
	link_free(s->link);
	intake_free(s->intake);
	if (s->clock)
		clock_track_free(s->clock);
	if (s->loop)
		loop_free(s->loop);
	free(s);
}

struct intake *session_intake(struct session *s) { return s->intake; }
struct loop *session_loop(struct session *s) { return s->loop; }
bool session_lost(const struct session *s) { return s->lost.code != 0; }
pid_t session_vmm_pid(const struct session *s) { return s->vm ? vm_pid(s->vm) : link_peer_pid(s->link); }
const struct guest *session_guest(const struct session *s) { return &s->guest; }
const struct clock_track *session_clock_track(const struct session *s) { return s->clock; }

/* ---- the greeting ---- */

/* One port alone works; the other gets a second to come. */
static int wait_synced(struct session *s, uint64_t deadline, struct error *err)
{
	uint64_t first = 0;
	while (!link_synced(s->link, LINK_CONTROL)) {
		uint64_t now = monotonic_ns();
		if (link_synced(s->link, LINK_DATA)) {
			first = first ? first : now;
			if (now - first > 1000000000)
				return 0;
		}
		if (now >= deadline)
			return error_set(err, ERR_TIMEOUT, "no agent answered on the guest's port");
		if (session_turn(s, err))
			return -1;
	}
	return 0;
}

static int check_version(const struct session *s, struct error *err)
{
	const struct guest *g = &s->guest;
	if (g->protocol == PROTOCOL_VERSION && !strcmp(g->version, BIFOCAL_VERSION))
		return 0;
	return error_set(err, ERR_VERSION, "the guest's image is of another version: its agent is %s (protocol %u), this is bifocal %s (protocol %u); rebuild it with `make image`",
			 g->version, g->protocol, BIFOCAL_VERSION, PROTOCOL_VERSION);
}

static int greet(struct session *s, uint64_t deadline, struct error *err)
{
	const struct msg_greet m = { .protocol = PROTOCOL_VERSION, .version = span_of(BIFOCAL_VERSION) };
	if (wait_synced(s, deadline, err))
		return -1;
	s->hello_end = false;
	if (channel_send_greet(link_commands(s->link), &m, CHANNEL_DROP_OLDEST, err) < 0)
		return -1;
	uint64_t now = monotonic_ns();
	return session_wait(s, &s->hello_end, now < deadline ? (deadline - now) / 1000000 : 0, "the agent's greeting", err);
}

int session_greet(struct session *s, uint64_t timeout_ns, struct error *err)
{
	if (greet(s, monotonic_ns() + timeout_ns, err)) {
		if (err->code == ERR_TIMEOUT) {
			error_prefix(err, "the guest did not greet within %llu s", (unsigned long long)(timeout_ns / 1000000000));
			add_console(s, true, err);
		}
		return -1;
	}
	return check_version(s, err);
}

/* ---- left behind by an earlier collector ---- */

static int take_undrained(void *ctx, const struct store_run *r)
{
	struct session *s = ctx;
	char id[33];
	if (r->status == RUN_COMPLETE || r->status == RUN_RUNNING)
		return 0;
	char *instance = store_attr(s->store, r->run, "prov.guest.instance", NULL);
	char *drained = store_attr(s->store, r->run, "intake.drained", NULL);
	char *opened = store_attr(s->store, r->run, "window.start", NULL);
	bool waits = instance && opened && !drained && !strcmp(instance, instance_text(&s->guest.instance, id));
	free(instance);
	free(drained);
	free(opened);
	return waits;
}

int session_take_late(struct session *s, struct error *err)
{
	struct intake_run *late = intake_late(s->intake);
	int waits = store_each_run(s->store, take_undrained, s, err);
	if (waits < 0)
		return -1;
	uint64_t begin = monotonic_ns();
	while (waits && !late->drained) {
		uint64_t last = intake_last_ns(s->intake);
		if (monotonic_ns() - (last > begin ? last : begin) > 3000000000)
			break;
		if (session_turn(s, err))
			return -1;
	}
	if (!late->run)
		return 0;
	if (put_loss(intake_batch(s->intake), late->run, &late->loss, err))
		return -1;
	return intake_commit(s->intake, err);
}

void session_begin(struct session *s, uint64_t run)
{
	intake_begin(s->intake, run);
	s->ready = s->done = s->drained = false;
}

/* ---- probes and the window ---- */

int session_probes(struct session *s, const struct plugins *set, struct error *err)
{
	struct channel *ch = link_commands(s->link);
	const struct msg_probe_clear clear = { 0 };
	s->plugins = set;
	s->probes_answered = set->n == 0;
	if (channel_send_probe_clear(ch, &clear, CHANNEL_DROP_OLDEST, err) < 0)
		return -1;
	for (size_t i = 0; i < set->n; i++) {
		const struct plugin *p = &set->item[i];
		const struct msg_probe_load m = {
			.probe = (uint32_t)i, .name = span_of(p->chunk), .options = span_of(p->options),
			.source = { (const uint8_t *)p->source, p->len },
		};
		s->answer[i] = (struct probe_answer){ 0 };
		if (channel_send_probe_load(ch, &m, CHANNEL_DROP_OLDEST, err) < 0)
			return -1;
	}
	return session_wait(s, &s->probes_answered, SESSION_ANSWER_MS, "the guest to load the probes", err);
}

int session_prepare(struct session *s, const struct session_prepare *p, struct session_ready *ready, struct error *err)
{
	const struct msg_run_prepare m = {
		.run = intake_now(s->intake)->run, .workload = span_of(p->workload), .disk = span_of(p->disk),
		.destructive = p->destructive, .seed = p->seed, .tsc_hz = p->tsc_hz,
		.trace = p->trace, .trace_memory = p->trace_memory,
	};
	if (channel_send_run_prepare(link_commands(s->link), &m, CHANNEL_DROP_OLDEST, err) < 0)
		return -1;
	if (session_wait(s, &s->ready, SESSION_PREPARE_MS, "the guest to get ready for the run", err))
		return -1;
	*ready = s->ready_report;
	return p->trace ? 0 : put_attr(intake_batch(s->intake), m.run, "vantage.guest", "absent: trace.guest is off", err);
}

/* Ends the window early; err says why, and stays so. */
static int abort_window(struct session *s, struct error *err)
{
	const struct msg_run_abort m = { .run = intake_now(s->intake)->run };
	struct error more = { 0 };
	s->stopping = true;
	log_warn("%s; ending the run", err->text);
	if (channel_send_run_abort(link_commands(s->link), &m, CHANNEL_DROP_OLDEST, &more) < 0)
		return -1;
	if (!session_wait(s, &s->done, SESSION_ABORT_MS, "the guest to end the run", &more))
		return 1;
	return error_set(err, err->code, "%s; no records came: %s", err->text, more.text);
}

static int run_window(struct session *s, uint64_t limit_ns, void (*tick)(void *ctx, uint64_t ns), void *ctx, struct error *err)
{
	const struct msg_run_start m = { .run = intake_now(s->intake)->run };
	if (channel_send_run_start(link_commands(s->link), &m, CHANNEL_DROP_OLDEST, err) < 0)
		return -1;
	link_flush(s->link);
	uint64_t begin = monotonic_ns();
	while (!s->done) {
		if (session_turn(s, err))
			return err->code == ERR_INTERRUPTED ? abort_window(s, err) : -1;
		uint64_t ns = monotonic_ns() - begin;
		tick(ctx, ns);
		if (limit_ns && ns > limit_ns && !s->done) {
			error_set(err, ERR_TIMEOUT, "the window did not close in %llu s: the disk seems to hang", (unsigned long long)(limit_ns / 1000000000));
			return abort_window(s, err);
		}
	}
	return 0;
}

int session_window(struct session *s, uint64_t limit_ns, void (*tick)(void *ctx, uint64_t ns), void *ctx, struct error *err)
{
	s->in_window = true;
	int r = run_window(s, limit_ns, tick, ctx, err);
	s->in_window = false;
	return r;
}

int session_drain(struct session *s, void (*tick)(void *ctx, uint64_t ns), void *ctx, struct error *err)
{
	uint64_t begin = monotonic_ns();
	while (!s->drained) {
		if (session_turn(s, err))
			return -1;
		uint64_t now = monotonic_ns(), last = intake_last_ns(s->intake);
		tick(ctx, now - begin);
		if (!s->drained && now > last && now - (last > begin ? last : begin) > SESSION_QUIET_MS * 1000000ull)
			return error_set(err, ERR_TIMEOUT, "no more records came for %d s, and the guest did not say that it was done", SESSION_QUIET_MS / 1000);
	}
	if (intake_commit(s->intake, err))
		return -1;
	link_flush(s->link);
	return 0;
}

void session_poweroff(struct session *s)
{
	const struct msg_poweroff m = { 0 };
	if (s->lost.code || channel_send_poweroff(link_commands(s->link), &m, CHANNEL_DROP_OLDEST, NULL) < 0)
		return;
	link_flush(s->link);
}
