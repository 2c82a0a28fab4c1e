/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a session leaves in the store beside its data: who the guest was, its clock, how the ports fared. */
#include <stdio.h>
#include <string.h>

#include "host/run/session_priv.h"

static int put_disks(struct store_batch *b, uint64_t run, const struct guest *g, const char *used, struct error *err)
{
	for (size_t i = 0; i < g->disks; i++) {
		const struct guest_disk *d = &g->disk[i];
		if (strcmp(d->name, used) != 0)
			continue;
		if (put_attr(b, run, "prov.guest.disk.name", d->name, err) ||
		    put_attr(b, run, "prov.guest.disk.serial", d->serial, err) ||
		    put_attr(b, run, "prov.guest.disk.driver", d->driver, err) ||
		    put_attr(b, run, "prov.guest.disk.scheduler", d->scheduler, err) ||
		    put_attr_u64(b, run, "prov.guest.disk.size", d->size, err) ||
		    put_attr_u64(b, run, "prov.guest.disk.logical_block", d->logical_block, err) ||
		    put_attr_u64(b, run, "prov.guest.disk.physical_block", d->physical_block, err) ||
		    put_attr_u64(b, run, "prov.guest.disk.queues", d->queues, err))
			return -1;
	}
	return 0;
}

int session_store_guest(struct session *s, uint64_t run, struct error *err)
{
	struct store_batch *b = intake_batch(s->intake);
	const struct guest *g = &s->guest;
	char id[33];
	const struct { const char *key, *text; } texts[] = {
		{ "prov.guest.version", g->version }, { "prov.guest.kernel", g->kernel }, { "prov.guest.tsc_flags", g->tsc_flags },
		{ "prov.guest.clocksource", g->clocksource }, { "prov.guest.tracing", g->tracing }, { "prov.guest.ports", g->ports },
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (put_attr(b, run, texts[i].key, texts[i].text, err))
			return -1;
	if (put_attr(b, run, "prov.guest.boot_id", instance_text(&g->boot_id, id), err) ||
	    put_attr(b, run, "prov.guest.instance", instance_text(&g->instance, id), err) ||
	    put_attr_u64(b, run, "prov.guest.cpus", g->cpus, err) ||
	    put_attr_u64(b, run, "prov.guest.memory", g->memory, err) ||
	    put_attr_u64(b, run, "prov.guest.tsc_hz", g->tsc_hz, err))
		return -1;
	return put_attr_u64(b, run, "prov.guest.uptime_ns", g->uptime_ns, err);
}

static int put_port(struct store_batch *b, uint64_t run, const char *port, const struct channel_stats *st, struct error *err)
{
	const struct { const char *key; uint64_t v; } rows[] = {
		{ "bytes_in", st->bytes_in }, { "frames_in", st->frames_in }, { "bad_frames", st->bad_frames },
		{ "skipped_bytes", st->skipped_bytes }, { "stale_frames", st->stale_frames }, { "duplicates", st->duplicates },
		{ "reordered", st->reordered }, { "resyncs", st->resyncs }, { "wrong_messages", st->wrong_messages },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char key[64];
		snprintf(key, sizeof(key), "port.%s.%s", port, rows[i].key);
		if (put_attr_u64(b, run, key, rows[i].v, err))
			return -1;
	}
	return 0;
}

static const char *answer_word(uint8_t state)
{
	switch (state) {
	case PROBE_LOADED:
		return "loaded";
	case PROBE_SKIPPED:
		return "skipped";
	default:
		return "quarantined";
	}
}

static int put_answers(struct session *s, struct store_batch *b, uint64_t run, struct error *err)
{
	for (size_t i = 0; s->plugins && i < s->plugins->n; i++) {
		const struct probe_answer *a = &s->answer[i];
		char key[STORE_KEY_MAX], text[640];
		if (!a->known)
			continue;
		snprintf(key, sizeof(key), "probe.%s.guest", s->plugins->item[i].name);
		snprintf(text, sizeof(text), "%s%s%s", answer_word(a->state), *a->text ? ": " : "", a->text);
		if (put_attr(b, run, key, text, err))
			return -1;
	}
	return 0;
}

unsigned session_quarantined(const struct session *s)
{
	unsigned n = 0;
	for (size_t i = 0; s->plugins && i < s->plugins->n; i++)
		n += s->answer[i].known && s->answer[i].state >= PROBE_QUARANTINED;
	return n;
}

/* What the guest said of its trace when it got ready. */
static int put_trace(const struct session_ready *ready, struct store_batch *b, uint64_t run, struct error *err)
{
	if (ready->device && put_attr_u64(b, run, "trace.guest.device", ready->device, err))
		return -1;
	if (ready->trace_bytes && put_attr_u64(b, run, "trace.guest.bytes", ready->trace_bytes, err))
		return -1;
	if (ready->trace_source[0] && put_attr(b, run, "trace.guest.source", ready->trace_source, err))
		return -1;
	return ready->trace_live ? put_attr(b, run, "trace.live", "1", err) : 0;
}

int session_store(struct session *s, uint64_t run, struct error *err)
{
	struct store_batch *b = intake_batch(s->intake);
	if (put_trace(&s->ready_report, b, run, err))
		return -1;
	if (put_disks(b, run, &s->guest, s->ready_report.disk, err))
		return -1;
	if (session_put_clock(s, b, run, err) || put_answers(s, b, run, err))
		return -1;
	for (int p = 0; p < LINK_PORTS; p++) {
		const struct channel_stats *st = link_stats(s->link, (enum link_port)p);
		if (st && put_port(b, run, link_port_name((enum link_port)p), st, err))
			return -1;
	}
	return 0;
}
