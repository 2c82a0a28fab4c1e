// SPDX-License-Identifier: GPL-2.0-or-later
/* A run's attribution from end to end: what its attributes say, two passes over its streams, the notes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attribute/engine.h"

struct run {
	struct engine e;
	struct account *account;
	struct attribution *out;
	attribute_fn *each;
	void *ctx;
};

/* ---- attributes ---- */

static uint64_t attr_u64(const struct engine *e, const char *key)
{
	char *text = store_attr(e->store, e->run, key, NULL);
	uint64_t v = text ? strtoull(text, NULL, 10) : 0;
	free(text);
	return v;
}

static bool attr_is(const struct engine *e, const char *key, const char *word)
{
	char *text = store_attr(e->store, e->run, key, NULL);
	bool is = text && strcmp(text, word) == 0;
	free(text);
	return is;
}

/* "tracefs" is there; "absent: reason", or nothing at all, is not. */
static bool vantage_there(const struct engine *e, const char *key, char note[VANTAGE_TEXT_MAX])
{
	char *text = store_attr(e->store, e->run, key, NULL);
	bool there = text && strncmp(text, "absent", 6) != 0;
	snprintf(note, VANTAGE_TEXT_MAX, "%s", text ? text : "absent: not recorded in this run");
	free(text);
	return there;
}

static bool absent(const struct engine *e, unsigned kind)
{
	char key[64];
	snprintf(key, sizeof(key), "absent.%s", sight_name(kind));
	char *text = store_attr(e->store, e->run, key, NULL);
	bool there = text != NULL;
	free(text);
	return there;
}

static void load_fds(struct engine *e)
{
	char *text = store_attr(e->store, e->run, "trace.host.fds", NULL);
	for (char *p = text, *end; p && *p && e->fds < sizeof(e->fd) / sizeof(e->fd[0]); p = *end == ',' ? end + 1 : end) {
		uint64_t fd = strtoull(p, &end, 10);
		if (end == p)
			break;
		e->fd[e->fds++] = fd;
	}
	free(text);
}

static bool has_stream(const struct engine *e, unsigned vantage)
{
	for (uint32_t i = 0; i < e->in.streams; i++)
		if (e->in.stream[i].is.vantage == vantage && e->in.stream[i].is.events)
			return true;
	return false;
}

static void load_notes(struct run *r)
{
	static const char *const key[4] = { NULL, "vantage.guest", "vantage.vmm", "vantage.host" };
	struct attribution *a = r->out;
	struct engine *e = &r->e;
	for (unsigned v = 1; v < 4; v++) {
		bool said = vantage_there(e, key[v], a->vantage[v].text), has = has_stream(e, v);
		a->vantage[v].there = has;
		if (said && !has)
			snprintf(a->vantage[v].text, VANTAGE_TEXT_MAX, "absent: it was there, and saw nothing");
		if (has && !said)
			snprintf(a->vantage[v].text, VANTAGE_TEXT_MAX, "sightings without a source's name");
	}
	a->vantage[0] = (struct vantage_note){ .there = true, .text = "workload engine" };
	e->have_guest = a->vantage[VANTAGE_GUEST].there;
	e->have_vmm = a->vantage[VANTAGE_VMM].there;
	e->have_host = a->vantage[VANTAGE_HOST].there;
	for (unsigned v = VANTAGE_VMM; v <= VANTAGE_HOST && !e->clock.known; v++)
		if (a->vantage[v].there) {
			a->vantage[v].there = false;
			snprintf(a->vantage[v].text, VANTAGE_TEXT_MAX, "absent: no clock epoch was stored, so its stamps cannot be placed");
			e->have_vmm = e->have_host = false;
		}
}

/* Up to the first that nobody knows. */
static void load_vcpus(struct engine *e)
{
	for (uint32_t i = 0; i < GUEST_CPUS_MAX; i++) {
		char key[64];
		snprintf(key, sizeof(key), "clock.vcpu.%u", i);
		e->kvm.vcpu[i] = (uint32_t)attr_u64(e, key);
		if (!e->kvm.vcpu[i])
			break;
		e->kvm.vcpus = i + 1;
	}
}

static void load_attributes(struct run *r)
{
	struct engine *e = &r->e;
	e->open = attr_u64(e, "window.open");
	e->close = attr_u64(e, "window.close");
	e->guest_device = attr_u64(e, "trace.guest.device");
	e->host_device = attr_u64(e, "trace.host.device");
	e->direct = !attr_is(e, "workload.direct", "0");
	e->polls = attr_is(e, "config.disk.iothread", "on");
	e->null_backend = attr_is(e, "config.disk.backend", "null-co");
	e->raw = !attr_is(e, "config.disk.format", "qcow2");
	e->in.depth = attr_u64(e, "workload.iodepth");
	char *bus = store_attr(e->store, e->run, "config.disk.bus", NULL);
	/* The other buses have a single queue. */
	uint64_t cpus = attr_u64(e, "config.vm.cpus"), queues = attr_u64(e, "config.disk.queues");
	bool many = !bus || strcmp(bus, "nvme") == 0 || strncmp(bus, "virtio", 6) == 0;
	e->queue_per_cpu = many && cpus > 1 && (!queues || queues >= cpus);
	e->virtio_blk = !bus || strcmp(bus, "virtio-blk") == 0;
	free(bus);
	load_fds(e);
	load_vcpus(e);
	load_notes(r);
	e->have_host_block = e->have_host && e->host_device && !absent(e, SIGHT_H_ISSUE);
	r->out->host_hz = attr_u64(e, "host.tsc_hz");
	r->out->guest_hz = attr_u64(e, "guest.tsc_hz");
}

/* ---- records ---- */

unsigned record_cause(const struct engine *e, const struct io_record *r)
{
	uint64_t length = e->close - e->open;
	bool outside = e->close && (r->submit - e->open > length || r->reap - e->open > length);
	if ((r->flags & IO_IN_RAMP) || outside || (int64_t)(r->reap - r->submit) < 0)
		return CAUSE_OUTSIDE;
	bool data = r->op == IO_READ || r->op == IO_WRITE;
	return r->result < 0 || (data && (uint32_t)r->result != r->length) ? CAUSE_ERROR : CAUSE_MATCHED;
}

static void see_record(void *ctx, const struct io_record *io)
{
	struct run *r = ctx;
	r->out->seen++;
	if (record_cause(&r->e, io) == CAUSE_MATCHED)
		account_total(r->account, io->reap - io->submit);
}

/* ---- sightings ---- */

static void see_lost(struct engine *e, const struct event *v)
{
	struct lost_zone *z = &e->lost[e->losts++ % MARKS_MAX];
	*z = (struct lost_zone){ e->stream_last[v->stream], v->t, e->in.stream[v->stream].is.vantage };
	/* Who is out is not known any more. */
	if (z->vantage == VANTAGE_GUEST) {
		e->guest.generation++;
		e->guest.outstanding = 0;
	}
}

static void see_mark(struct engine *e, int64_t t)
{
	const struct clockmap *c = &e->clock;
	e->mark[e->marks++ % MARKS_MAX] = t;
	if (t < c->epoch[0].from && t > e->last_before)
		e->last_before = t;
	if (t > c->epoch[c->epochs - 1].to && t < e->first_after)
		e->first_after = t;
}

static void see(struct engine *e, const struct event *v)
{
	unsigned kind = v->s->kind;
	e->seen_kinds[kind / 64] |= 1ull << (kind % 64);
	e->sightings[e->vantage_of[kind] % 5]++;
	switch (e->vantage_of[kind]) {
	case VANTAGE_GUEST:
		guest_see(e, v);
		break;
	case VANTAGE_VMM:
		vmm_see(e, v);
		break;
	case VANTAGE_HOST:
		if (kind == SIGHT_H_TSC_WRITE)
			see_mark(e, v->t);
		if (kind == SIGHT_H_KVM_MMIO || kind == SIGHT_H_KVM_INJECT)
			kvm_see(e, v);
		host_see(e, v);
		break;
	case VANTAGE_MARK:
		if (kind == SIGHT_LOST)
			see_lost(e, v);
		else if (kind == SIGHT_STOPPED)
			see_mark(e, v->t);
		break;
	default:
		break;
	}
	e->stream_last[v->stream] = v->t;
}

static bool kind_seen(const struct engine *e, unsigned kind)
{
	return e->seen_kinds[kind / 64] >> (kind % 64) & 1;
}

/* What a vantage shows at all in this run: known after the first pass. */
static void learn_kinds(struct engine *e)
{
	e->have_kick = kind_seen(e, SIGHT_G_KICK);
	e->have_irq = kind_seen(e, SIGHT_G_IRQ);
	e->have_notify = kind_seen(e, SIGHT_V_NOTIFY) || kind_seen(e, SIGHT_V_NVME_NOTIFY) || kind_seen(e, SIGHT_V_AHCI_NOTIFY) ||
			 kind_seen(e, SIGHT_V_IDE_NOTIFY);
	e->have_inject = kind_seen(e, SIGHT_V_INJECT) || kind_seen(e, SIGHT_V_NVME_IRQ) || kind_seen(e, SIGHT_V_AHCI_IRQ) ||
			 kind_seen(e, SIGHT_V_LINE);
	e->have_calls = kind_seen(e, SIGHT_H_ENTER);
	e->have_submissions = kind_seen(e, SIGHT_V_PAIO) || kind_seen(e, SIGHT_V_LURING) || kind_seen(e, SIGHT_V_POOL_SUBMIT);
}

/* ---- passes ---- */

static void begin_pass(struct engine *e)
{
	uint64_t half = 0;
	guest_reset(&e->guest);
	vmm_reset(&e->vmm);
	host_reset(&e->host);
	kvm_reset(&e->kvm);
	e->losts = e->marks = 0;
	memset(e->sightings, 0, sizeof(e->sightings));
	for (uint32_t i = 0; i < e->in.streams; i++)
		e->stream_last[i] = INT64_MIN / 2;
	for (uint32_t i = 0; i < e->clock.epochs; i++)
		half = e->clock.epoch[i].half > half ? e->clock.epoch[i].half : half;
	/* What contradicts its bounds by up to a millisecond is found, and counted as a violation; what is further off is another's. */
	half = half < e->clock.hz ? half : e->clock.hz;
	e->wide = (int64_t)(half + e->clock.hz / 1000);
	e->in.lag = e->wide + (int64_t)(e->clock.hz / 1000);
}

static void describe(struct attribution *a, const struct attributed *r)
{
	unsigned from = AT_APP_SUBMIT;
	for (unsigned to = 1; to < BOUNDARIES; to++) {
		if (!(r->seen & 1u << to))
			continue;
		int64_t span = t_sub((int64_t)r->at[to], (int64_t)r->at[from]);
		uint64_t bound = attributed_bound(r, from, to);
		if (span < 0 && 0 - (uint64_t)span > bound) {
			char name[PHASE_SPAN_MAX];
			snprintf(a->violation_example, sizeof(a->violation_example),
				 "request %llu (job %u, sector %llu, %u bytes): %s is %.0f ns, its bound %.0f ns: %s at %llu, %s at %llu, in guest cycles",
				 (unsigned long long)r->index, r->io.job, (unsigned long long)r->io.sector, r->io.length,
				 phase_span_name(from, to, name), attribution_ns(a, (double)span), attribution_ns(a, (double)bound),
				 boundary_name(from), (unsigned long long)r->at[from], boundary_name(to), (unsigned long long)r->at[to]);
			return;
		}
		from = to;
	}
}

static int one_pass(struct run *r, struct error *err)
{
	struct engine *e = &r->e;
	struct event v;
	struct io_ref io;
	struct attributed a;
	begin_pass(e);
	if (inputs_rewind(&e->in, err))
		return -1;
	for (;;) {
		int what = inputs_next(&e->in, &v, &io, err);
		if (what <= 0)
			return what;
		if (what == 1) {
			see(e, &v);
			continue;
		}
		join_io(e, &io, &a);
		if (e->causal)
			continue;
		account_add(r->account, r->out, &a);
		if (a.violations && !*r->out->violation_example && a.cause != CAUSE_OUTSIDE && a.cause != CAUSE_ERROR)
			describe(r->out, &a);
		int stop = r->each ? r->each(r->ctx, &a) : 0;
		if (stop)
			return stop;
	}
}

/* ---- notes ---- */

static void note_boundaries(struct run *r)
{
	struct attribution *a = r->out;
	struct engine *e = &r->e;
	uint16_t seen = 1 << AT_APP_SUBMIT | 1 << AT_APP_REAP;
	for (size_t i = 0; i < a->spans; i++)
		seen = (uint16_t)(seen | 1u << a->span[i].from | 1u << a->span[i].to);
	for (unsigned b = 0; b < BOUNDARIES; b++) {
		if (seen & 1u << b)
			continue;
		const char *why = boundary_in_guest(b) ? a->vantage[VANTAGE_GUEST].text :
				  b == AT_HOST_ISSUE || b == AT_HOST_COMPLETE ? a->vantage[VANTAGE_HOST].text : a->vantage[VANTAGE_VMM].text;
		char *text = NULL;
		for (unsigned k = 1; k < SIGHT_KINDS && !text; k++) {
			char key[64];
			if (sight_boundary(k) != (int)b)
				continue;
			snprintf(key, sizeof(key), "absent.%s", sight_name(k));
			text = store_attr(e->store, e->run, key, NULL);
		}
		bool said = text || strncmp(why, "absent", 6) == 0;
		snprintf(a->absent[b], sizeof(a->absent[b]), "%s", text ? text : said ? why : "no request showed it");
		free(text);
	}
}

static void note_clocks(struct run *r, uint32_t contradictions)
{
	struct attribution *a = r->out;
	const struct clockmap *c = &r->e.clock;
	a->epochs = c->known ? c->total : 0;
	a->epochs_kept = c->known ? (c->epochs < EPOCH_BOUNDS_MAX ? c->epochs : EPOCH_BOUNDS_MAX) : 0;
	for (uint32_t i = 0; i < a->epochs_kept; i++)
		a->epoch[i] = c->epoch[i].bound;
	a->violations += contradictions;
	if (contradictions && !*a->violation_example)
		snprintf(a->violation_example, sizeof(a->violation_example),
			 "clock: what requests say of %u epoch%s contradicts what was stored of it, or itself", contradictions, contradictions > 1 ? "s" : "");
}

static void note_losses(struct run *r)
{
	for (uint32_t i = 0; i < r->e.in.streams; i++) {
		const struct stream_in *s = &r->e.in.stream[i];
		if (s->is.vantage < VANTAGE_GUEST || s->is.vantage > VANTAGE_HOST)
			continue;
		r->out->vantage[s->is.vantage].lost += s->is.lost + s->anchors.unplaced;
	}
	for (unsigned v = VANTAGE_GUEST; v <= VANTAGE_HOST; v++)
		r->out->vantage[v].sightings = r->e.sightings[v];
	r->out->vantage[VANTAGE_HOST].sightings += r->e.in.passed;
	r->out->vantage[0].sightings = r->out->seen;
}

/* ---- the whole ---- */

static uint64_t engine_bytes(const struct engine *e)
{
	return sizeof(*e) + e->in.bytes + EPOCHS_MAX * sizeof(struct epoch_map) + e->in.streams * sizeof(*e->stream_last) +
	       POOL_REQUESTS * (sizeof(struct bio) + sizeof(struct guest_request) + sizeof(struct device_request)) +
	       POOL_CALLS * (sizeof(struct submission) + sizeof(struct call) + sizeof(struct host_block) + sizeof(struct kvm_event)) +
	       THREADS_MAX * (sizeof(struct thread) + sizeof(struct host_thread)) + DISTANCES_MAX * sizeof(struct distance) +
	       keytab_bytes(&e->guest.bios) + keytab_bytes(&e->guest.requests) + keytab_bytes(&e->vmm.places) + keytab_bytes(&e->vmm.keys) +
	       keytab_bytes(&e->vmm.submissions) + keytab_bytes(&e->host.calls) + keytab_bytes(&e->host.blocks);
}

static int open_engine(struct run *r, struct store *s, uint64_t run, struct error *err)
{
	struct engine *e = &r->e;
	e->store = s;
	e->run = run;
	for (unsigned k = 0; k < SIGHT_KINDS; k++)
		e->vantage_of[k] = (uint8_t)sight_vantage(k);
	if (guest_init(&e->guest) || vmm_init(&e->vmm) || host_init(&e->host) || kvm_init(&e->kvm))
		return error_set(err, ERR_LIMIT, "out of memory for the join");
	if (clockmap_load(&e->clock, s, run, err))
		return -1;
	/* The window is needed before the first record is looked at. */
	e->open = attr_u64(e, "window.open");
	e->close = attr_u64(e, "window.close");
	if (inputs_open(&e->in, s, run, &e->clock, see_record, r, err))
		return -1;
	e->stream_last = calloc(e->in.streams + 1u, sizeof(*e->stream_last));
	if (!e->stream_last)
		return error_set(err, ERR_LIMIT, "out of memory for %u streams", e->in.streams);
	load_attributes(r);
	account_seal(r->account);
	return 0;
}

static void close_engine(struct engine *e)
{
	guest_fini(&e->guest);
	vmm_fini(&e->vmm);
	host_fini(&e->host);
	kvm_fini(&e->kvm);
	inputs_fini(&e->in);
	clockmap_fini(&e->clock);
	free(e->stream_last);
}

static int both_passes(struct run *r, struct error *err)
{
	struct engine *e = &r->e;
	uint32_t contradictions = 0;
	if (e->in.streams) {
		e->causal = true;
		e->last_before = INT64_MIN;
		e->first_after = INT64_MAX;
		if (one_pass(r, err) < 0)
			return -1;
		clockmap_extend(&e->clock, e->last_before, e->first_after);
		learn_kinds(e);
		contradictions = clockmap_narrow(&e->clock);
		e->causal = false;
	}
	int rc = one_pass(r, err);
	if (rc)
		return rc;
	account_close(r->account, r->out);
	note_clocks(r, contradictions);
	note_losses(r);
	note_boundaries(r);
	r->out->peak_bytes = engine_bytes(e) + account_bytes(r->account) + sizeof(*r) + sizeof(*r->out);
	return 0;
}

int attribute_run(struct store *s, uint64_t run, attribute_fn *each, void *ctx, struct attribution *out, struct error *err)
{
	struct attribution *own = out ? NULL : calloc(1, sizeof(*own));
	struct run *r = calloc(1, sizeof(*r));
	struct account *account = account_new(err);
	int rc = -1;
	if (!r || !account || (!out && !own)) {
		error_set(err, ERR_LIMIT, "out of memory for attribution");
		goto out;
	}
	r->out = out ? out : own;
	memset(r->out, 0, sizeof(*r->out));
	r->out->version = ATTRIBUTION_VERSION;
	r->account = account;
	r->each = each;
	r->ctx = ctx;
	rc = open_engine(r, s, run, err);
	if (!rc)
		rc = both_passes(r, err);
	if (rc < 0)
		error_prefix(err, "attribution of run %llu", (unsigned long long)run);
out:
	if (r)
		close_engine(&r->e);
	free(r);
	free(own);
	account_free(account);
	return rc;
}
