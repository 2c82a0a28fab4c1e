/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's USDT probes, for builds with the dtrace trace backend (Fedora, RHEL): uprobes of the kernel on the sites that the binary's notes
 * name (elf_notes.h), each counting up its probe's semaphore while it is enabled, as QEMU asks before it evaluates the arguments.
 *
 * The stamps are the TSC, taken by the kernel at the breakpoint. Nothing is asked of QEMU, so that a VM which somebody else
 * started is seen as well. Other processes of the same binary hit the breakpoints too; their events are dropped by set_event_pid.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "host/trace/elf_notes.h"
#include "host/trace/format.h"
#include "host/trace/qemu_events.h"
#include "host/trace/record.h"
#include "host/trace/vantage.h"

enum {
	SITES_MAX = 512,               /* an inlined probe has several */
	DEFINITION_MAX = 1024,
	BYTES_PER_IO = 2 << 10,        /* a dozen events of 50 to 100 bytes, with room to spare */
	BYTES_PER_S = 128 << 10,
};

struct fetched {
	uint16_t offset;
	uint8_t size;                  /* 1 2 4 8; 0: not fetched */
	bool is_signed, text;
};

/* One uprobe. */
struct site {
	const struct qemu_event *event;
	char name[FORMAT_NAME_MAX];    /* "virtio_notify_0", in our group */
	char *definition;              /* what uprobe_events takes */
	uint16_t id;                   /* of its records; 0: not there */
	uint16_t need;                 /* bytes that a record must have */
	struct fetched arg[QEMU_ARGS_MAX];
};

struct usdt {
	const struct trace_target *t;
	struct tracefs fs;
	struct recorder rec;
	char group[TRACEFS_NAME_MAX], binary[64];
	struct site *site;
	unsigned sites;
	bool made;                     /* probes of ours are in the kernel */
	bool named[QEMU_DEVICES_MAX];  /* rows whose name is among the probes */
	char refused[TRACE_WHY_MAX];   /* why the last one that could not be made was not */
	struct qemu_events_state state;
	uint64_t bad;
	uint16_t by_id[UINT16_MAX + 1];        /* 1 + index into site[]; 0: not ours */
};

/* ---- from notes to uprobes ---- */

/* "p:GROUP/NAME /proc/PID/exe:0xOFFSET(0xSEMAPHORE) a0=%di:u64 a2=…"; arguments that nobody needs are not fetched. */
static bool define(const struct usdt *u, const struct site *s, const struct sdt_probe *p, char *dst)
{
	int n = snprintf(dst, DEFINITION_MAX, "p:%s/%s %s:0x%llx", u->group, s->name, u->binary, (unsigned long long)p->offset);

	if (p->semaphore)
		n += snprintf(dst + n, DEFINITION_MAX - (size_t)n, "(0x%llx)", (unsigned long long)p->semaphore);
	for (unsigned i = 0; s->event->roles[i]; i++) {
		char fetch[SDT_FETCH_MAX];

		if (s->event->roles[i] == '-')
			continue;
		if (!sdt_fetch(p->arguments, i, s->event->roles[i] == 'z', fetch))
			return false;
		n += snprintf(dst + n, DEFINITION_MAX - (size_t)n, " a%u=%s", i, fetch);
		if (n >= DEFINITION_MAX)
			return false;
	}
	return true;
}

static void refuse(struct usdt *u, const struct sdt_probe *p, const char *why)
{
	snprintf(u->refused, sizeof(u->refused), "probe %.60s(%.80s): %s", p->name, p->arguments, why);
}

static int add_site(struct usdt *u, const struct qemu_event *e, const struct sdt_probe *p)
{
	char text[DEFINITION_MAX];
	struct site *s = &u->site[u->sites];

	if (u->sites == SITES_MAX)
		return 1;
	*s = (struct site){ .event = e };
	/* The number tells the sites of one probe apart, and rows of one name. */
	snprintf(s->name, sizeof(s->name), "%.48s_%u", e->name, u->sites);
	if (!define(u, s, p, text)) {
		refuse(u, p, "an argument lies where uprobes cannot fetch it");
		return 0;
	}
	s->definition = strdup(text);
	u->sites += s->definition != NULL;
	return 0;
}

static int on_probe(void *ctx, const struct sdt_probe *p)
{
	struct usdt *u = ctx;
	unsigned args = sdt_arguments(p->arguments);
	bool known = false, fits = false;

	for (size_t i = qemu_event_find(p->name, strlen(p->name), 0); i < qemu_events_count;
	     i = qemu_event_find(p->name, strlen(p->name), i + 1)) {
		known = u->named[i] = true;
		if (qemu_event_args(&qemu_events[i]) != args)
			continue;
		fits = true;
		if (add_site(u, &qemu_events[i], p))
			return 1;
	}
	if (known && !fits)
		refuse(u, p, "not the arguments that are known of it");
	return 0;
}

static bool has_probe(void *ctx, const char *name)
{
	const struct usdt *u = ctx;
	size_t i = qemu_event_find(name, strlen(name), 0);

	return i < qemu_events_count && u->named[i];
}

static int find_sites(struct usdt *u, struct error *err)
{
	autoclose int fd = open(u->binary, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_set(err, ERR_NOT_FOUND, "QEMU's binary cannot be read: %s; run as root", u->binary);
	u->site = calloc(SITES_MAX, sizeof(*u->site));
	if (!u->site)
		return error_set(err, ERR_LIMIT, "out of memory");
	if (sdt_each(fd, "qemu", on_probe, u, err) < 0)
		return error_prefix(err, "%s", u->binary);
	qemu_events_known(&u->state, has_probe, u);
	if (u->sites)
		return 0;
	if (u->refused[0])
		return error_set(err, ERR_NOT_FOUND, "%s", u->refused);
	return error_set(err, ERR_NOT_FOUND, "this QEMU was built without the dtrace trace backend; take one that has it, or trace.vmm=log");
}

/* ---- into the kernel ---- */

static int take_argument(struct site *s, const struct trace_format *f, unsigned i, struct error *err)
{
	char name[8];

	snprintf(name, sizeof(name), "a%u", i);
	const struct trace_field *field = format_field(f, name);
	if (!field || (!field->data_loc && field->size != 1 && field->size != 2 && field->size != 4 && field->size != 8))
		return error_set(err, ERR_PROTOCOL, "event %s has no field %s that can be read", f->name, name);
	s->arg[i] = (struct fetched){ field->offset, (uint8_t)(field->data_loc ? 4 : field->size), field->is_signed, field->data_loc };
	uint16_t end = (uint16_t)(field->offset + s->arg[i].size);
	s->need = end > s->need ? end : s->need;
	return 0;
}

static int learn_site(struct usdt *u, unsigned index, struct error *err)
{
	struct site *s = &u->site[index];
	struct trace_format f;
	char file[TRACEFS_NAME_MAX + FORMAT_NAME_MAX + 24];

	snprintf(file, sizeof(file), "events/%s/%s/format", u->group, s->name);
	autofree char *text = tracefs_text(u->fs.root, file, err);
	if (!text || format_parse((struct span){ (const uint8_t *)text, strlen(text) }, &f, err))
		return -1;
	s->need = 8;
	for (unsigned i = 0; s->event->roles[i]; i++)
		if (s->event->roles[i] != '-' && take_argument(s, &f, i, err))
			return -1;
	s->id = f.id;
	u->by_id[f.id] = (uint16_t)(index + 1);
	return 0;
}

/* Makes all that the kernel takes; -1 when it takes none. */
static int define_sites(struct usdt *u, struct error *err)
{
	unsigned n = 0;

	u->made = true;
	for (unsigned i = 0; i < u->sites; i++) {
		struct error why = { 0 };

		if (tracefs_put(u->fs.root, "uprobe_events", u->site[i].definition, &why) || learn_site(u, i, &why))
			snprintf(u->refused, sizeof(u->refused), "%.*s", TRACE_WHY_MAX - 1, why.text);
		else
			n++;
	}
	return n ? 0 : error_set(err, ERR_FAILED, "no uprobe could be made: %s", u->refused);
}

static uint64_t expected_bytes(const struct trace_target *t)
{
	uint64_t s = t->window_ns / 1000000000 + 1;

	if (!t->window_ns || !t->ios || t->ios > RECORD_BUFFERS_MAX / BYTES_PER_IO || s > RECORD_BUFFERS_MAX / BYTES_PER_S)
		return RECORD_BUFFERS_MAX / 2;
	return t->ios * BYTES_PER_IO + s * BYTES_PER_S;
}

static int look_around(struct usdt *u, struct error *err)
{
	if (!u->t->pid)
		return error_set(err, ERR_NOT_FOUND, "QEMU's process is not known");
	/* By way of /proc, so that a binary in a container, or one replaced since, is the one that runs. */
	snprintf(u->binary, sizeof(u->binary), "/proc/%d/exe", (int)u->t->pid);
	tracefs_group(u->group);
	if (find_sites(u, err) || tracefs_find(&u->fs, true, err))
		return -1;
	if (!tracefs_has_tsc(&u->fs))
		return error_set(err, ERR_NOT_FOUND, "this kernel's tracing has no clock x86-tsc");
	char path[TRACEFS_ROOT_MAX + 16];
	snprintf(path, sizeof(path), "%s/uprobe_events", u->fs.root);
	if (access(path, W_OK))
		return error_set(err, ERR_NOT_FOUND, "this kernel has no uprobes; boot one with CONFIG_UPROBE_EVENTS");
	/* The instance before the probes: its lock tells other collectors that their owner lives. */
	if (recorder_add(&u->rec, &u->fs, "usdt", expected_bytes(u->t), RECORD_BUFFERS_MAX / 2, err) < 0)
		return -1;
	return define_sites(u, err);
}

static void usdt_free(void *self)
{
	struct usdt *u = self;

	if (!u)
		return;
	/* An event that an instance has enabled cannot go, and its going empties the instance's buffers. */
	recorder_stop(&u->rec);
	if (u->made)
		tracefs_group_remove(&u->fs, u->group);
	recorder_free(&u->rec);
	for (unsigned i = 0; i < u->sites; i++)
		free(u->site[i].definition);
	free(u->site);
	free(u);
}

static void *usdt_open(const struct trace_target *t, char why[TRACE_WHY_MAX])
{
	struct error err = { 0 };
	struct usdt *u = calloc(1, sizeof(*u));

	if (!u) {
		snprintf(why, TRACE_WHY_MAX, "out of memory");
		return NULL;
	}
	u->t = t;
	recorder_init(&u->rec);
	if (look_around(u, &err) == 0)
		return u;
	snprintf(why, TRACE_WHY_MAX, "%.*s", TRACE_WHY_MAX - 1, err.text);
	usdt_free(u);
	return NULL;
}

/* ---- the window ---- */

static int usdt_start(void *self, struct error *err)
{
	struct usdt *u = self;
	unsigned on = 0;

	if (tracefs_instance_process(&u->rec.instance[0], u->t->pid, err))
		return -1;
	for (unsigned i = 0; i < u->sites; i++) {
		char event[TRACEFS_NAME_MAX + FORMAT_NAME_MAX + 2];

		if (!u->site[i].id || u->state.dropped[qemu_event_index(u->site[i].event)])
			continue;
		snprintf(event, sizeof(event), "%s:%s", u->group, u->site[i].name);
		if (tracefs_instance_enable(&u->rec.instance[0], event, NULL, err)) {
			u->by_id[u->site[i].id] = 0;
			u->site[i].id = 0;
		}
		on += u->site[i].id != 0;
	}
	return on ? recorder_start(&u->rec, err) : error_prefix(err, "no probe could be switched on");
}

static void usdt_tick(void *self)
{
	recorder_tick(&((struct usdt *)self)->rec);
}

static void usdt_stop(void *self)
{
	struct usdt *u = self;

	recorder_stop(&u->rec);
	tracefs_group_remove(&u->fs, u->group);
	u->made = false;
}

/* ---- the store ---- */

static uint64_t load(const uint8_t *r, const struct fetched *f)
{
	uint64_t v = 0;

	memcpy(&v, r + f->offset, f->size);
	if (!f->is_signed || f->size == 8)
		return v;
	unsigned shift = 64 - 8u * f->size;
	return (uint64_t)((int64_t)(v << shift) >> shift);
}

/* A text lies behind the record's fields, at the low half of its word, as long as the high half says, with its NUL. */
static void load_text(const uint8_t *r, size_t len, const struct fetched *f, struct qemu_arg *a)
{
	uint64_t word = load(r, f);
	size_t at = word & 0xffff, n = word >> 16 & 0xffff;

	if (at > len || n > len - at)
		return;
	a->text = (const char *)r + at;
	a->length = strnlen(a->text, n);
}

static bool decode_record(struct usdt *u, const uint8_t *r, size_t len, uint64_t time, struct sighting *out)
{
	struct qemu_arg arg[QEMU_ARGS_MAX] = { 0 };
	uint16_t id;
	uint32_t thread;

	memcpy(&id, r, sizeof(id));
	if (!u->by_id[id])
		return false;
	const struct site *s = &u->site[u->by_id[id] - 1];
	if (len < s->need) {
		u->bad++;
		return false;
	}
	memcpy(&thread, r + 4, sizeof(thread));
	for (unsigned i = 0; s->event->roles[i]; i++) {
		if (s->arg[i].text)
			load_text(r, len, &s->arg[i], &arg[i]);
		else
			arg[i].number = load(r, &s->arg[i]);
	}
	return qemu_event_sighting(&u->state, s->event, arg, time, thread, out);
}

static size_t decode(void *ctx, unsigned instance, struct page_walk *w, struct sighting *out, size_t cap)
{
	const uint8_t *r;
	size_t n = 0, len;

	(void)instance;
	while (n < cap && (r = page_next(w, &len)))
		n += decode_record(ctx, r, len, w->time, &out[n]);
	return n;
}

static bool shown(const struct usdt *u, unsigned kind)
{
	for (unsigned i = 0; i < u->sites; i++)
		if (u->site[i].event->kind == kind && u->site[i].id)
			return true;
	return false;
}

static int put_absent(const struct usdt *u, struct store_batch *b, uint64_t run, struct error *err)
{
	char key[64];

	for (size_t i = 0; i < qemu_events_count; i++) {
		if (shown(u, qemu_events[i].kind))
			continue;
		snprintf(key, sizeof(key), "absent.%s", sight_name(qemu_events[i].kind));
		if (put_attr(b, run, key, u->named[i] && u->refused[0] ? u->refused : "QEMU's binary has no such probe", err))
			return -1;
	}
	return 0;
}

static int usdt_store(void *self, struct store_batch *b, uint64_t run, struct loss *loss, struct error *err)
{
	struct usdt *u = self;

	if (recorder_store(&u->rec, decode, u, VANTAGE_VMM, STREAM_VMM, "usdt", b, run, err) || put_absent(u, b, run, err))
		return -1;
	loss->trace_vmm += u->rec.lost + u->bad;
	return u->rec.live ? put_attr_u64(b, run, "trace.live", 1, err) : 0;
}

const struct vantage_source vmm_usdt = {
	.name = "usdt",
	.vantage = VANTAGE_VMM,
	.open = usdt_open,
	.start = usdt_start,
	.tick = usdt_tick,
	.stop = usdt_stop,
	.store = usdt_store,
	.free = usdt_free,
};
