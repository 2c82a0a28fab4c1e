// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/drain.h"

#include <string.h>

#include "common/log.h"

void drain_init(struct drain *d, struct run *run, struct probes *probes, struct trace *trace)
{
	memset(d, 0, sizeof(*d));
	d->run = run;
	d->probes = probes;
	d->trace = trace;
	wbuf_heap(&d->packed, IOREC_CHUNK_BYTES);
}

void drain_fini(struct drain *d)
{
	wbuf_fini(&d->packed);
}

void drain_begin(struct drain *d)
{
	d->stage = DRAIN_RESULT;
	d->control = d->data = NULL;
	d->series = d->io_chunks = d->sample_chunks = 0;
	d->job = 0;
	d->record = d->sample = 0;
}

static bool has_room(const struct channel *ch, size_t bytes)
{
	return channel_room(ch) > bytes + DRAIN_RESERVE;
}

/* 0: queued. 1: no room, later. A message that cannot be encoded is a defect of ours; it is named and left out. */
static int outcome(int sent, const struct error *err)
{
	if (sent < 0)
		log_error("drain: %s", err->text);
	return sent > 0;
}

static int send_result(struct drain *d)
{
	const struct run *r = d->run;
	const struct run_result *u = &r->result;
	struct error err = { 0 };
	struct msg_run_done m = {
		.run = r->id,
		.window_open = u->window_open,
		.ramp_end = u->ramp_end,
		.window_close = u->window_close,
		.issued = u->issued,
		.recorded = u->recorded,
		.dropped = u->dropped,
		.errors = u->errors,
		.verified = r->verify.checked,
		.verify_bad = r->verify.bad,
		.code = (uint32_t)u->err.code,
		.text = span_of(u->err.text),
	};

	return outcome(channel_send_run_done(d->control, &m, CHANNEL_WAIT, &err), &err);
}

static int send_faults(struct drain *d)
{
	struct error err = { 0 };

	for (struct probe_slot *s; (s = probes_next_fault(d->probes));) {
		struct msg_probe_state m = { .probe = s->number, .state = PROBE_QUARANTINED, .text = span_of(s->fault.text) };
		outcome(channel_send_probe_state(d->control, &m, CHANNEL_DROP_OLDEST, &err), &err);
	}
	return 0;
}

static int send_series(struct drain *d)
{
	char name[512];

	for (; d->series < d->probes->n_series; d->series++) {
		struct msg_series m = { .run = d->run->id };
		struct error err = { 0 };
		probes_series(d->probes, d->series, name, sizeof(name), &m);
		if (!has_room(d->data, sizeof(name)) || outcome(channel_send_series(d->data, &m, CHANNEL_WAIT, &err), &err))
			return 1;
	}
	return 0;
}

/* Packed again when it had to wait: cheaper than to keep what a dead collector never takes. */
static int send_chunk(struct drain *d, const struct job *j, size_t n)
{
	struct error err = { 0 };

	wbuf_reset(&d->packed);
	iorec_pack(&d->packed, j->records + d->record, n);
	/* No memory for it just now: half a chunk would be refused, and the records lost. */
	if (d->packed.bad)
		return 1;
	struct msg_io_chunk m = { .run = d->run->id, .index = d->io_chunks, .records = { d->packed.p, d->packed.len } };
	if (!has_room(d->data, d->packed.len) || outcome(channel_send_io_chunk(d->data, &m, CHANNEL_WAIT, &err), &err))
		return 1;
	d->record += n;
	d->io_chunks++;
	return 0;
}

static int send_records(struct drain *d)
{
	for (; d->job < d->run->n_jobs; d->job++, d->record = 0) {
		const struct job *j = &d->run->jobs[d->job];
		while (d->record < j->recorded) {
			size_t left = j->recorded - d->record, n = left < IOREC_CHUNK ? left : IOREC_CHUNK;
			/* No packing in vain while the ring is full: chunks are much alike in size. */
			if (!has_room(d->data, d->packed.len) || send_chunk(d, j, n))
				return 1;
		}
	}
	return 0;
}

static int send_samples(struct drain *d)
{
	while (d->sample < d->probes->n_samples) {
		size_t left = d->probes->n_samples - d->sample, n = left < SAMPLES_CHUNK ? left : SAMPLES_CHUNK;
		struct error err = { 0 };
		wbuf_reset(&d->packed);
		samples_pack(&d->packed, d->probes->samples + d->sample, n);
		if (d->packed.bad)
			return 1;
		struct msg_samples m = { .run = d->run->id, .index = d->sample_chunks, .samples = { d->packed.p, d->packed.len } };
		if (!has_room(d->data, d->packed.len) || outcome(channel_send_samples(d->data, &m, CHANNEL_WAIT, &err), &err))
			return 1;
		d->sample += n;
		d->sample_chunks++;
	}
	return 0;
}

static int send_end(struct drain *d)
{
	struct error err = { 0 };
	struct msg_run_drained m = {
		.run = d->run->id,
		.io_chunks = d->io_chunks,
		.sample_chunks = d->sample_chunks,
		.samples_dropped = d->probes->dropped,
		.trace_pages = d->trace->pages_sent,
	};

	return outcome(channel_send_run_drained(d->data, &m, CHANNEL_WAIT, &err), &err);
}

/* 0 to go on to the next stage, 1 to wait: for room, or for a data channel. */
static int do_stage(struct drain *d)
{
	if (d->stage >= DRAIN_SERIES && !d->data)
		return 1;
	switch (d->stage) {
	case DRAIN_NOTHING: return 1;
	case DRAIN_RESULT: return send_result(d);
	case DRAIN_FAULTS: return send_faults(d);
	case DRAIN_SERIES: return send_series(d);
	case DRAIN_RECORDS: return send_records(d);
	case DRAIN_SAMPLES: return send_samples(d);
	case DRAIN_EVENTS: return !trace_send_events(d->trace, d->data, d->run->id);
	case DRAIN_PAGES: return !trace_send_rest(d->trace, d->data, d->run->id);
	case DRAIN_END: return send_end(d);
	}
	return 1;
}

bool drain_step(struct drain *d, struct channel *control, struct channel *data)
{
	if (d->stage == DRAIN_NOTHING)
		return false;
	if (!d->control)
		d->control = control;
	if (!d->data)
		d->data = data;
	if (!d->control)
		return false;
	while (do_stage(d) == 0) {
		if (d->stage++ == DRAIN_END) {
			d->stage = DRAIN_NOTHING;
			return true;
		}
	}
	return false;
}
