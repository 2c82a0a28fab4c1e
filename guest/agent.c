// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/log.h"
#include "guest/init.h"
#include "guest/modules.h"
#include "guest/portscan.h"

#define MS 1000000ULL

enum {
	/* A port that QEMU has comes within milliseconds of its driver. */
	COMPLAIN_MS = 2000,
	/* Only in case an event was lost, and for made-up roots, which send none. */
	RESCAN_MS = 1000,
	/* A collector with two ports opens both at once; one that has not is without the other. */
	DATA_GRACE_MS = 1000,
};

/* ---- ports ---- */

struct port *agent_port_of(struct agent *a, const struct channel *ch)
{
	return a->port[PORT_DATA].channel == ch ? &a->port[PORT_DATA] : &a->port[PORT_CONTROL];
}

void agent_port_names(const struct agent *a, char *dst, size_t cap)
{
	dst[0] = '\0';
	for (int role = 0; role < PORT_COUNT; role++) {
		size_t n = strlen(dst);
		if (a->port[role].state != PORT_ABSENT)
			snprintf(dst + n, cap - n, "%s%s", n ? " " : "", port_name(role));
	}
}

static void note_synced(struct agent *a)
{
	for (int role = 0; role < PORT_COUNT; role++) {
		const struct port *p = &a->port[role];
		if (p->state != PORT_OPEN || !channel_synced(p->channel))
			a->synced_ms[role] = 0;
		else if (!a->synced_ms[role])
			a->synced_ms[role] = monotonic_ns() / MS;
	}
}

struct channel *agent_data_channel(struct agent *a)
{
	const struct port *data = &a->port[PORT_DATA], *control = &a->port[PORT_CONTROL];

	if (a->synced_ms[PORT_DATA])
		return data->channel;
	if (!a->synced_ms[PORT_CONTROL])
		return NULL;
	bool waited = monotonic_ns() / MS - a->synced_ms[PORT_CONTROL] >= DATA_GRACE_MS;
	return data->state == PORT_ABSENT || waited ? control->channel : NULL;
}

static void on_message(void *ctx, struct channel *ch, uint16_t type, struct span payload, uint64_t seq)
{
	session_message(ctx, ch, type, payload, seq);
}

static const struct channel_ops channel_ops = { .message = on_message };

static void on_moved(void *ctx)
{
	struct agent *a = ctx;

	note_synced(a);
	session_step(a);
	for (int role = 0; role < PORT_COUNT; role++)
		port_flush(&a->port[role]);
}

static void on_modules_loaded(void *ctx, int fd, short revents)
{
	struct agent *a = ctx;
	struct error err = { 0 };

	(void)revents;
	loop_fd_remove(a->loop, fd);
	module_loader_join(a->loader, &err);
	a->loader = NULL;
	if (err.code)
		log_warn("%s", err.text);
	a->disks_settled = true;
	session_disks(a);
	on_moved(a);
}

/* The port is open and its first frames are on their way: now the disks. */
static void load_disks(struct agent *a)
{
	struct error err = { 0 };

	if (a->disks_settled || a->loader)
		return;
	a->loader = module_loader_start(a->options->root);
	if (a->loader && !loop_fd(a->loop, module_loader_fd(a->loader), POLLIN, on_modules_loaded, a, &err))
		return;
	log_error("loading the disks' modules without a thread: %s", err.text);
	modules_load(a->options->root, MODULES_REST, &err);
	a->disks_settled = true;
}

static void on_changed(void *ctx, int role, bool for_good)
{
	struct agent *a = ctx;

	(void)role;
	note_synced(a);
	for (int i = 0; i < PORT_COUNT; i++) {
		if (a->port[i].state == PORT_OPEN)
			load_disks(a);
		for_good = for_good && a->port[i].state == PORT_ABSENT;
	}
	if (for_good)
		loop_stop(a->loop);
}

/* ---- the search for virtio ports ---- */

static void say_complaint(struct agent *a, const struct portscan *s, int role, bool waited)
{
	char now[sizeof(a->complaint[role])];
	bool alone = s->found[!role] == 1;

	portscan_complaint(s, role, now, sizeof(now));
	if ((s->found[role] == 0 && !waited) || strcmp(now, a->complaint[role]) == 0)
		return;
	strcpy(a->complaint[role], now);
	if (now[0])
		log_line(s->found[role] == 0 && alone ? LOG_INFO_LEVEL : LOG_ERROR_LEVEL, "%s", now);
}

static void scan(struct agent *a)
{
	struct portscan s;
	struct error err = { 0 };

	portscan(&s, a->options->root);
	for (int role = 0; role < PORT_COUNT; role++) {
		struct port *p = &a->port[role];
		if (p->state != PORT_ABSENT && strcmp(p->path, s.path[role]) != 0)
			port_drop(p);
		if (p->state == PORT_ABSENT && s.path[role][0] && port_use_path(p, s.path[role], &err))
			log_error("%s", err.text);
		say_complaint(a, &s, role, a->complain < 0);
	}
}

static void on_uevent(void *ctx, int fd, short revents)
{
	(void)revents;
	if (uevent_drain(fd))
		scan(ctx);
}

static void on_rescan(void *ctx)
{
	scan(ctx);
}

static int start_rescanning(struct agent *a, struct error *err)
{
	a->rescan = loop_timer(a->loop, RESCAN_MS * MS, RESCAN_MS * MS, on_rescan, a, err);
	return a->rescan < 0 ? -1 : 0;
}

static void on_complain(void *ctx)
{
	struct agent *a = ctx;

	a->complain = -1;
	/* In a window the search rests; the next look complains. */
	if (a->rescan >= 0)
		scan(a);
}

/* Events are asked for before the first look, so that nothing falls between the two. */
static int start_scanning(struct agent *a, struct error *err)
{
	a->scanning = true;
	a->uevents = uevent_open();
	if (a->uevents < 0)
		log_warn("ports that come later are noticed late: netlink: %s", strerror(errno));
	else if (loop_fd(a->loop, a->uevents, POLLIN, on_uevent, a, err))
		return -1;
	a->complain = loop_timer(a->loop, COMPLAIN_MS * MS, 0, on_complain, a, err);
	return a->complain < 0 ? -1 : start_rescanning(a, err);
}

/* ---- quiet, log ---- */

void agent_quiet(struct agent *a, bool quiet)
{
	struct error err = { 0 };

	for (int role = 0; role < PORT_COUNT; role++)
		port_quiet(&a->port[role], quiet);
	loop_timer_remove(a->loop, a->rescan);
	a->rescan = -1;
	if (a->scanning && !quiet && start_rescanning(a, &err))
		log_error("%s", err.text);
}

/* A collector that listens gets the log. On a port alone the log must not push records out. */
static void on_log(void *ctx, enum log_level level, const char *line)
{
	struct agent *a = ctx;
	int role = a->synced_ms[PORT_CONTROL] ? PORT_CONTROL : PORT_DATA;
	bool alone = !a->synced_ms[!role];
	struct msg_log m = { .level = (uint8_t)level, .text = span_of(line) };

	if (a->synced_ms[role])
		channel_send_log(a->port[role].channel, &m, alone ? CHANNEL_WAIT : CHANNEL_DROP_OLDEST, NULL);
}

static void on_run_event(void *ctx, int fd, short revents)
{
	(void)fd;
	(void)revents;
	on_moved(ctx);
}

/* ---- life ---- */

/* One boot, one agent: its boot id names it. Processes of one machine need names of their own. */
static int choose_instance(const struct agent *a, struct id16 *self, struct error *err)
{
	*self = a->greet.boot_id;
	if (a->options->init)
		return 0;
	return getrandom(self, sizeof(*self), 0) == sizeof(*self) ? 0 : error_sys(err, errno, "getrandom");
}

static int use_given(struct agent *a, int role, const char *where, struct error *err)
{
	char *end;

	if (strncmp(where, "fd:", 3) != 0)
		return port_use_path(&a->port[role], where, err);
	long fd = strtol(where + 3, &end, 10);
	if (!where[3] || *end || fd < 0 || fd > 1 << 20)
		return error_set(err, ERR_USAGE, "%s: not a descriptor; write fd:N", where);
	return port_use_fd(&a->port[role], (int)fd, err);
}

static int open_ports(struct agent *a, struct error *err)
{
	const struct agent_options *o = a->options;
	struct port_owner owner = { on_moved, on_changed, a };
	struct id16 self;

	if (choose_instance(a, &self, err))
		return -1;
	for (int role = 0; role < PORT_COUNT; role++)
		if (port_init(&a->port[role], role, a->loop, &self, &channel_ops, &owner, err))
			return -1;
	if (!o->port[PORT_CONTROL] && !o->port[PORT_DATA]) {
		if (!a->scanning && start_scanning(a, err))
			return -1;
		scan(a);
	}
	for (int role = 0; role < PORT_COUNT; role++)
		if (o->port[role] && use_given(a, role, o->port[role], err))
			return -1;
	return 0;
}

static int boot(struct agent *a, struct error *err)
{
	struct error trouble = { 0 };

	init_setup(&trouble);
	if (trouble.code)
		log_error("%s", trouble.text);
	trouble.code = ERR_NONE;
	if (start_scanning(a, err))
		return -1;
	modules_load(a->options->root, MODULES_PORTS, &trouble);
	if (trouble.code)
		log_error("%s", trouble.text);
	return 0;
}

int agent_init(struct agent *a, const struct agent_options *o, struct error *err)
{
	memset(a, 0, sizeof(*a));
	a->options = o;
	a->uevents = a->complain = a->rescan = a->drain_timer = -1;
	greet_init(&a->greet, o->root);
	a->loop = loop_new(err);
	if (!a->loop || run_init(&a->run, o->root, err))
		return -1;
	probes_init(&a->probes, a->loop, o->root);
	trace_init(&a->trace, o->root);
	drain_init(&a->drain, &a->run, &a->probes, &a->trace);
	a->disks_settled = !o->init;
	log_sink(on_log, a, 0);
	if (loop_fd(a->loop, a->run.event_fd, POLLIN, on_run_event, a, err) || (o->init && boot(a, err)))
		return -1;
	greet_boot_id(&a->greet);
	return open_ports(a, err);
}

int agent_serve(struct agent *a, struct error *err)
{
	return loop_run(a->loop, err);
}

void agent_fini(struct agent *a)
{
	struct error ignored = { 0 };

	log_sink(NULL, NULL, 0);
	if (a->loader)
		module_loader_join(a->loader, &ignored);
	run_fini(&a->run);
	trace_fini(&a->trace);
	drain_fini(&a->drain);
	if (a->loop)
		probes_fini(&a->probes);
	for (int role = 0; role < PORT_COUNT; role++)
		port_fini(&a->port[role]);
	if (a->uevents >= 0)
		close(a->uevents);
	loop_free(a->loop);
}
