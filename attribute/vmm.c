// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The VMM: what QEMU's device models and block layer say of a request. The order of their lines, per bus and aio, as it was measured:
 * tests/fixtures/vmm/README.
 *
 * A device's request begins with what names its place (sector, length) and is followed by a key of the model's own: virtio-blk's request
 * pointer, a SCSI tag, NVMe's command id, a transfer (ahci, ide). A notification serves the requests that its thread starts after it;
 * an interrupt those that were done on its thread since the one before.
 *
 * What is handed to the host's kernel (a submission) is told its request by place (raw), else by order: the block layer's last call on
 * that thread (qcow2 and other formats, whose places in the file are not the disk's).
 */
#include <stdlib.h>
#include <string.h>

#include "attribute/engine.h"

enum { MASK = POOL_REQUESTS - 1, SUB_MASK = POOL_CALLS - 1 };
enum model { MODEL_VIRTIO = 1, MODEL_SCSI, MODEL_NVME, MODEL_NCQ, MODEL_IDE, MODEL_FLUSH };

int vmm_init(struct vmm_side *v)
{
	v->request = pool_new(POOL_REQUESTS, sizeof(*v->request));
	v->submission = pool_new(POOL_CALLS, sizeof(*v->submission));
	v->thread = pool_new(THREADS_MAX, sizeof(*v->thread));
	int bad = keytab_init(&v->places, POOL_REQUESTS) | keytab_init(&v->keys, POOL_REQUESTS) |
		  keytab_init(&v->submissions, POOL_CALLS) | keytab_init(&v->threads, THREADS_MAX);
	return v->request && v->submission && v->thread && !bad ? 0 : -1;
}

void vmm_fini(struct vmm_side *v)
{
	pool_free(v->request, POOL_REQUESTS, sizeof(*v->request));
	pool_free(v->submission, POOL_CALLS, sizeof(*v->submission));
	pool_free(v->thread, THREADS_MAX, sizeof(*v->thread));
	keytab_fini(&v->places);
	keytab_fini(&v->keys);
	keytab_fini(&v->submissions);
	keytab_fini(&v->threads);
}

void vmm_reset(struct vmm_side *v)
{
	keytab_clear(&v->places);
	keytab_clear(&v->keys);
	keytab_clear(&v->submissions);
	keytab_clear(&v->threads);
	memset(v->thread, 0, v->thread_count * sizeof(*v->thread));
	memset(v->nvme_notify, 0, sizeof(v->nvme_notify));
	v->ids = v->submission_ids = 0;
	v->thread_count = 0;
	v->all = (struct thread){ 0 };
}

/* Made where it is new; NULL beyond THREADS_MAX. */
static struct thread *thread_of(struct vmm_side *v, uint32_t tid)
{
	uint32_t at = keytab_first(&v->threads, tid);
	if (at)
		return &v->thread[at - 1];
	if (v->thread_count == THREADS_MAX)
		return NULL;
	keytab_put(&v->threads, v->thread_count, tid);
	v->thread[v->thread_count].tid = tid;
	return &v->thread[v->thread_count++];
}

/* ---- rings ---- */

static struct device_request *request_of(struct vmm_side *v, uint64_t id_plus_1)
{
	struct device_request *d = id_plus_1 ? &v->request[(id_plus_1 - 1) & MASK] : NULL;
	return d && d->id == id_plus_1 - 1 ? d : NULL;
}

struct submission *vmm_submission(struct vmm_side *v, uint64_t id_plus_1)
{
	struct submission *s = id_plus_1 ? &v->submission[(id_plus_1 - 1) & SUB_MASK] : NULL;
	return s && s->id == id_plus_1 - 1 ? s : NULL;
}

static uint64_t model_key(unsigned model, uint64_t key)
{
	return key ^ (uint64_t)model << 60;
}

static struct stamp stamp_of(const struct event *v)
{
	return (struct stamp){ .t = v->t, .own = v->own, .thread = v->s->thread, .kind = v->s->kind };
}

/* The oldest that is active under this key. */
static struct device_request *active_of(struct vmm_side *v, enum model model, uint64_t key)
{
	struct device_request *found = NULL;
	int walked = 0;
	for (uint32_t at = keytab_first(&v->keys, model_key(model, key)); at && walked++ < WALK_MAX; at = keytab_after(&v->keys, at)) {
		struct device_request *d = &v->request[at - 1];
		if (d->active && (!found || d->id < found->id))
			found = d;
	}
	return found;
}

/* A key is given again only after its request is over: if that is still active, its end was not seen. */
static void retire(struct vmm_side *v, enum model model, uint64_t key)
{
	struct device_request *old = active_of(v, model, key);
	if (!old)
		return;
	old->active = false;
	keytab_drop(&v->keys, (uint32_t)(old->id & MASK));
}

static struct device_request *new_request(struct vmm_side *v, const struct event *e, enum model model, uint64_t key, bool placed)
{
	uint32_t slot = (uint32_t)(v->ids & MASK);
	struct device_request *d = &v->request[slot];
	if (v->ids >= POOL_REQUESTS) {
		keytab_drop(&v->places, slot);
		keytab_drop(&v->keys, slot);
	}
	if (model == MODEL_VIRTIO || model == MODEL_SCSI || model == MODEL_NVME)
		retire(v, model, key);
	*d = (struct device_request){ .id = v->ids++, .key = model_key(model, key), .op = e->s->op, .model = (uint8_t)model, .active = true,
				      .thread = e->s->thread, .device = model == MODEL_VIRTIO ? e->s->device : 0 };
	keytab_put(&v->keys, slot, d->key);
	if (placed) {
		d->sector = e->s->sector;
		d->length = e->s->length;
		keytab_put(&v->places, slot, place_key(d->op, d->sector));
	}
	return d;
}

/* The oldest active one at this place; `fresh`: that has not been submitted. */
static struct device_request *active_at(struct vmm_side *v, unsigned op, uint64_t sector, bool fresh)
{
	struct device_request *found = NULL;
	int walked = 0;
	for (uint32_t at = keytab_first(&v->places, place_key(op, sector)); at && walked++ < WALK_MAX; at = keytab_after(&v->places, at)) {
		struct device_request *d = &v->request[at - 1];
		if (d->active && !(fresh && d->submit) && (!found || d->id < found->id))
			found = d;
	}
	return found;
}

static uint64_t sectors(uint32_t length)
{
	return ((uint64_t)length + 511) >> 9;
}

/* ---- a request's beginning ---- */

static void take_notice(struct device_request *d, struct thread *t)
{
	/* Another device's notice (a serial port's) is none of its business. */
	if (!t || !stamp_seen(&t->notify) || (d->device && t->notify_device && d->device != t->notify_device))
		return;
	d->notify = t->notify;
	d->queue = t->notify_queue;
}

static void see_notify(struct engine *e, const struct event *v, struct thread *t)
{
	if (v->s->kind == SIGHT_V_NVME_NOTIFY)
		e->vmm.nvme_notify[v->s->device % 64] = stamp_of(v);
	if (!t)
		return;
	t->notify = stamp_of(v);
	t->notify_queue = v->s->kind == SIGHT_V_NOTIFY ? v->s->key : 0;
	t->notify_device = v->s->kind == SIGHT_V_NOTIFY ? v->s->device : 0;
}

static void see_start(struct engine *e, const struct event *v, struct thread *t, enum model model, uint64_t key, bool placed)
{
	struct device_request *d = new_request(&e->vmm, v, model, key, placed);
	d->start = stamp_of(v);
	if (model == MODEL_NVME)
		d->notify = e->vmm.nvme_notify[v->s->device % 64];
	else
		take_notice(d, t);
	if (model == MODEL_SCSI && t)
		t->scsi = d->id + 1;
}

/* The place of a SCSI request comes after its start; its length later still, in the same order. */
static void see_scsi_lba(struct engine *e, const struct event *v)
{
	struct device_request *d = active_of(&e->vmm, MODEL_SCSI, v->s->key);
	if (!d || d->length || d->placed)
		return;
	uint32_t slot = (uint32_t)(d->id & MASK);
	d->op = d->op == SIGHT_OP_NONE ? v->s->op : d->op;
	if (d->op != IO_READ && d->op != IO_WRITE)
		return;
	d->sector = v->s->sector;
	d->placed = true;
	keytab_put(&e->vmm.places, slot, place_key(d->op, d->sector));
}

static void see_scsi_dma(struct engine *e, const struct event *v)
{
	int walked = 0;
	struct device_request *found = NULL;
	struct vmm_side *side = &e->vmm;
	for (uint32_t at = keytab_first(&side->places, place_key(v->s->op, v->s->sector)); at && walked++ < WALK_MAX; at = keytab_after(&side->places, at)) {
		struct device_request *d = &side->request[at - 1];
		if (d->active && d->model == MODEL_SCSI && !d->length && (!found || d->id < found->id))
			found = d;
	}
	if (found)
		found->length = v->s->length;
}

/* A transfer of ahci or ide: its end is the request's. */
static void see_dma_start(struct engine *e, const struct event *v)
{
	for (unsigned op = IO_READ; op <= IO_WRITE; op++) {
		struct device_request *d = active_at(&e->vmm, op, v->s->sector, true);
		if (!d || (d->model != MODEL_NCQ && d->model != MODEL_IDE) || (v->s->op != SIGHT_OP_NONE && v->s->op != op))
			continue;
		uint32_t slot = (uint32_t)(d->id & MASK);
		keytab_drop(&e->vmm.keys, slot);
		d->key = model_key(MODEL_IDE, v->s->key);
		keytab_put(&e->vmm.keys, slot, d->key);
		return;
	}
}

static uint64_t nvme_key(const struct sighting *s)
{
	return (uint64_t)s->device << 32 | (uint32_t)s->key;
}

/* ---- the block layer and the way to the host ---- */

static unsigned along(struct vmm_side *v, const struct event *e, bool fresh, uint64_t found[BLK_MAX])
{
	uint64_t at = e->s->sector, end = at + sectors(e->s->length);
	unsigned n = 0;
	while (n < BLK_MAX && at < end) {
		struct device_request *d = active_at(v, e->s->op, at, fresh);
		if (!d || !d->length)
			break;
		found[n++] = d->id + 1;
		at += sectors(d->length);
	}
	return n;
}

/* Several requests in a row may be one call: QEMU merges neighbours. */
static void see_blk(struct engine *e, const struct event *v, struct thread *t)
{
	uint64_t found[BLK_MAX];
	unsigned n = along(&e->vmm, v, true, found);
	if (!t || !n)
		return;
	memcpy(t->blk, found, n * sizeof(found[0]));
	t->blks = n;
	t->last_submission = 0;
}

/* The oldest with this key that has not come back. */
static struct submission *waiting_for(struct vmm_side *v, uint64_t key)
{
	struct submission *found = NULL;
	int walked = 0;
	for (uint32_t at = keytab_first(&v->submissions, key); at && walked++ < WALK_MAX; at = keytab_after(&v->submissions, at)) {
		struct submission *s = &v->submission[at - 1];
		if (!found || s->id < found->id)
			found = s;
	}
	return found;
}

/* Like a request's, a submission's key is given again only after it came back. */
static void enter_key(struct vmm_side *v, struct submission *s, uint64_t key)
{
	struct submission *old = waiting_for(v, key);
	if (old)
		keytab_drop(&v->submissions, (uint32_t)(old->id & SUB_MASK));
	s->key = key;
	keytab_put(&v->submissions, (uint32_t)(s->id & SUB_MASK), key);
}

static struct submission *new_submission(struct vmm_side *v, const struct event *e)
{
	uint32_t slot = (uint32_t)(v->submission_ids & SUB_MASK);
	if (v->submission_ids >= POOL_CALLS)
		keytab_drop(&v->submissions, slot);
	struct submission *s = &v->submission[slot];
	*s = (struct submission){ .id = v->submission_ids++, .op = e->s->op, .submit = stamp_of(e) };
	enter_key(v, s, e->s->key);
	return s;
}

static void hand_over(struct vmm_side *v, struct submission *s, const uint64_t *requests, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct device_request *d = request_of(v, requests[i]);
		/* Of several (an image format), the first is where it goes down; the last to come back ends it. */
		if (d && d->submit && vmm_submission(v, d->submit))
			s->before = d->submit;
		if (d)
			d->submit = s->id + 1;
		if (d && s->op == SIGHT_OP_NONE)
			s->op = d->op;
	}
}

/* thread_pool_submit with nothing before it: a flush. Where the model said that one began (scsi, nvme), it is that one's; with the others it
 * is the only line on its way down. */
static void see_flush(struct engine *e, const struct event *v, struct thread *t, struct submission *s)
{
	struct device_request *d = active_at(&e->vmm, IO_FLUSH, 0, true);
	s->op = IO_FLUSH;
	if (d && d->model != MODEL_FLUSH) {
		d->submit = s->id + 1;
		return;
	}
	d = new_request(&e->vmm, v, MODEL_FLUSH, s->id, false);
	d->op = IO_FLUSH;
	d->placed = true;
	keytab_put(&e->vmm.places, (uint32_t)(d->id & MASK), place_key(IO_FLUSH, 0));
	take_notice(d, t);
	d->submit = s->id + 1;
	s->anonymous = d->id + 1;
}

static void see_pool_submit(struct engine *e, const struct event *v, struct thread *t)
{
	struct vmm_side *side = &e->vmm;
	struct submission *last = t ? vmm_submission(side, t->last_submission) : NULL;
	if (last) {
		keytab_drop(&side->submissions, (uint32_t)(last->id & SUB_MASK));
		enter_key(side, last, v->s->key);
		t->last_submission = 0;
		return;
	}
	struct submission *s = new_submission(side, v);
	if (t && t->blks) {
		struct device_request *d = request_of(side, t->blk[0]);
		if (d && e->raw) {
			uint64_t end = d->sector;
			s->sector = d->sector;
			for (unsigned i = 0; i < t->blks; i++) {
				struct device_request *part = request_of(side, t->blk[i]);
				end = part ? part->sector + sectors(part->length) : end;
			}
			s->length = (uint32_t)((end - d->sector) << 9);
			s->placed = true;
		}
		hand_over(side, s, t->blk, t->blks);
		t->blks = e->raw ? 0 : t->blks;
	} else if (e->raw) {
		see_flush(e, v, t, s);
	}
}

static void see_submit(struct engine *e, const struct event *v, struct thread *t)
{
	struct vmm_side *side = &e->vmm;
	uint64_t found[BLK_MAX];
	struct submission *s = new_submission(side, v);
	s->sector = v->s->sector;
	s->length = v->s->length;
	s->placed = !(v->s->flags & SIGHT_NO_PLACE);
	unsigned n = along(side, v, true, found);
	if (v->s->op == IO_FLUSH && e->raw)
		see_flush(e, v, t, s);
	else if (n && e->raw)
		hand_over(side, s, found, n);
	else if (t && t->blks)
		hand_over(side, s, t->blk, t->blks);
	if (t && e->raw)
		t->blks = 0;
	if (t)
		t->last_submission = v->s->kind == SIGHT_V_PAIO ? s->id + 1 : 0;
}

/* ahci and ide say nothing of a flush's end; what comes next is its interrupt. */
static void end_unseen(struct engine *e, struct device_request *d)
{
	struct thread *by = &e->vmm.all;
	if (!d || !d->active)
		return;
	d->active = false;
	keytab_drop(&e->vmm.keys, (uint32_t)(d->id & MASK));
	d->undelivered = by->undelivered;
	by->undelivered = (uint32_t)(d->id & MASK) + 1;
}

static void see_submitted_done(struct engine *e, const struct event *v, struct thread *t)
{
	struct vmm_side *side = &e->vmm;
	struct submission *found = waiting_for(side, v->s->key);
	if (!found)
		return;
	found->reap = stamp_of(v);
	keytab_drop(&side->submissions, (uint32_t)(found->id & SUB_MASK));
	if (e->virtio_blk && t)
		t->flush = found->anonymous;
	else
		end_unseen(e, request_of(side, found->anonymous));
}

/* ---- a request's end ---- */

static struct thread *deliverer(struct engine *e, const struct device_request *d, struct thread *t)
{
	return d->model == MODEL_VIRTIO || d->model == MODEL_SCSI || d->model == MODEL_FLUSH ? t : &e->vmm.all;
}

static void finish(struct engine *e, const struct event *v, struct thread *t, struct device_request *d)
{
	d->active = false;
	d->done = stamp_of(v);
	keytab_drop(&e->vmm.keys, (uint32_t)(d->id & MASK));
	struct thread *by = deliverer(e, d, t);
	if (!by)
		return;
	d->undelivered = by->undelivered;
	by->undelivered = (uint32_t)(d->id & MASK) + 1;
}

static void see_done(struct engine *e, const struct event *v, struct thread *t, enum model model, uint64_t key)
{
	struct device_request *d = active_of(&e->vmm, model, key);
	if (!d && model == MODEL_VIRTIO) {
		/* A flush or a discard: nothing said that it began. */
		d = t ? request_of(&e->vmm, t->flush) : NULL;
		if (d && !d->active)
			d = NULL;
		if (!d) {
			d = new_request(&e->vmm, v, MODEL_FLUSH, key, false);
			d->op = IO_FLUSH;
			keytab_put(&e->vmm.places, (uint32_t)(d->id & MASK), place_key(IO_FLUSH, 0));
		}
		if (t)
			t->flush = 0;
	}
	if (d)
		finish(e, v, t, d);
}

static void see_inject(struct engine *e, const struct event *v, struct thread *t)
{
	bool virtio = v->s->kind == SIGHT_V_INJECT;
	struct thread *by = virtio ? t : &e->vmm.all;
	if (!by)
		return;
	uint32_t at = by->undelivered, keep = 0;
	by->undelivered = 0;
	for (int i = 0; at && i < POOL_REQUESTS; i++) {
		struct device_request *d = &e->vmm.request[at - 1];
		uint32_t next = d->undelivered;
		/* Another queue's interrupt says nothing of it. */
		bool other = (d->queue && d->queue != v->s->key) || (d->device && v->s->device && d->device != v->s->device);
		if (virtio && other && i < WALK_MAX) {
			d->undelivered = keep;
			keep = at;
		} else {
			d->inject = stamp_of(v);
			d->undelivered = 0;
		}
		at = next;
	}
	by->undelivered = keep;
}

static void see_called_back(struct engine *e, const struct event *v)
{
	struct device_request *d = active_of(&e->vmm, MODEL_VIRTIO, v->s->key);
	if (d)
		d->called_back = stamp_of(v);
}

/* True if it was one of the virtio models' own. */
static bool see_virtio(struct engine *e, const struct event *v, struct thread *t)
{
	switch (v->s->kind) {
	case SIGHT_V_NOTIFY:
	case SIGHT_V_AHCI_NOTIFY:
	case SIGHT_V_NVME_NOTIFY:
	case SIGHT_V_IDE_NOTIFY:
		see_notify(e, v, t);
		return true;
	case SIGHT_V_START:
		see_start(e, v, t, MODEL_VIRTIO, v->s->key, true);
		return true;
	case SIGHT_V_RW_COMPLETE:
		see_called_back(e, v);
		return true;
	case SIGHT_V_DONE:
		see_done(e, v, t, MODEL_VIRTIO, v->s->key);
		return true;
	case SIGHT_V_SCSI_START:
		see_start(e, v, t, MODEL_SCSI, v->s->key, false);
		if (v->s->op == IO_FLUSH || v->s->op == IO_DISCARD)
			keytab_put(&e->vmm.places, (uint32_t)((e->vmm.ids - 1) & MASK), place_key(IO_FLUSH, 0));
		return true;
	case SIGHT_V_SCSI_LBA:
		see_scsi_lba(e, v);
		return true;
	case SIGHT_V_SCSI_DMA:
		see_scsi_dma(e, v);
		return true;
	case SIGHT_V_SCSI_DONE:
		see_done(e, v, t, MODEL_SCSI, v->s->key);
		return true;
	default:
		return false;
	}
}

static bool see_emulated(struct engine *e, const struct event *v, struct thread *t)
{
	switch (v->s->kind) {
	case SIGHT_V_NVME_CMD:
		/* The others say their place themselves, just after it. */
		if (v->s->op != IO_FLUSH && v->s->op != IO_DISCARD)
			return true;
		see_start(e, v, t, MODEL_NVME, nvme_key(v->s), false);
		keytab_put(&e->vmm.places, (uint32_t)((e->vmm.ids - 1) & MASK), place_key(IO_FLUSH, 0));
		return true;
	case SIGHT_V_NVME_START:
		see_start(e, v, t, MODEL_NVME, nvme_key(v->s), true);
		return true;
	case SIGHT_V_NVME_DONE:
		see_done(e, v, t, MODEL_NVME, nvme_key(v->s));
		return true;
	case SIGHT_V_NCQ_START:
		see_start(e, v, t, MODEL_NCQ, v->s->key, true);
		return true;
	case SIGHT_V_IDE_DMA:
		if (v->s->length && !active_at(&e->vmm, v->s->op, v->s->sector, true))
			see_start(e, v, t, MODEL_IDE, 0, true);
		return true;
	case SIGHT_V_DMA_START:
		see_dma_start(e, v);
		return true;
	case SIGHT_V_DMA_DONE:
		see_done(e, v, t, MODEL_IDE, v->s->key);
		return true;
	case SIGHT_V_NVME_IRQ:
	case SIGHT_V_AHCI_IRQ:
	case SIGHT_V_LINE:
	case SIGHT_V_INJECT:
		see_inject(e, v, t);
		return true;
	default:
		return false;
	}
}

void vmm_see(struct engine *e, const struct event *v)
{
	struct thread *t = thread_of(&e->vmm, v->s->thread);
	if (see_virtio(e, v, t) || see_emulated(e, v, t))
		return;
	switch (v->s->kind) {
	case SIGHT_V_BLK:
		see_blk(e, v, t);
		break;
	case SIGHT_V_PAIO:
	case SIGHT_V_LURING:
		see_submit(e, v, t);
		break;
	case SIGHT_V_POOL_SUBMIT:
		see_pool_submit(e, v, t);
		break;
	case SIGHT_V_POOL_COMPLETE:
	case SIGHT_V_LURING_COMPLETE:
		see_submitted_done(e, v, t);
		break;
	default:
		break;
	}
}

/* ---- finding a guest's request ---- */

/* Whether d lies inside g, give or take `room` cycles and what its own stamps lack. */
static bool lies_inside(struct vmm_side *v, const struct device_request *d, const struct guest_request *g, int64_t room)
{
	const struct submission *s = vmm_submission(v, d->submit);
	const struct stamp *first = stamp_seen(&d->start) ? &d->start : s ? &s->submit : &d->done;
	const struct stamp *last = stamp_seen(&d->done) ? &d->done : s && stamp_seen(&s->reap) ? &s->reap : first;
	if (t_sub(g->issue, first->t) > room + (int64_t)first->own)
		return false;
	return t_sub(last->t, g->complete) <= room + (int64_t)last->own;
}

struct pick {
	struct device_request *d;
	unsigned candidates;
};

static void look(struct engine *e, const struct guest_request *g, unsigned op, uint64_t sector, int64_t room, bool taint, struct pick *p)
{
	struct vmm_side *v = &e->vmm;
	int walked = 0;
	for (uint32_t at = keytab_first(&v->places, place_key(op, sector)); at && walked++ < WALK_MAX; at = keytab_after(&v->places, at)) {
		struct device_request *d = &v->request[at - 1];
		if (d->claimed || (d->length && d->length != g->length && op != IO_FLUSH) || !lies_inside(v, d, g, room))
			continue;
		if (taint)
			d->tainted = true;
		p->candidates++;
		bool done = stamp_seen(&d->done), was = p->d && stamp_seen(&p->d->done);
		if (!p->d || (done && !was) || (done == was && d->id < p->d->id))
			p->d = d;
	}
}

static struct pick pick(struct engine *e, const struct guest_request *g, int64_t room, bool taint)
{
	struct pick p = { 0 };
	bool flush = g->op == IO_FLUSH;
	look(e, g, g->op, flush ? 0 : g->sector, room, taint, &p);
	/* virtio-blk has no line for a discard either; NVMe's says no place. */
	if (!p.d && g->op == IO_DISCARD)
		look(e, g, IO_FLUSH, 0, room, taint, &p);
	return p;
}

struct device_request *vmm_find(struct engine *e, struct guest_request *g, uint64_t half)
{
	if (g->joined)
		return request_of(&e->vmm, g->device);
	g->joined = true;
	g->device_cause = CAUSE_NO_VMM;
	struct pick p = pick(e, g, (int64_t)(half < (1ull << 60) ? half : 1ull << 60), false);
	/* Nothing within the bounds: what contradicts them is found too, and then is a violation. */
	if (!p.d)
		p = pick(e, g, e->wide, false);
	/* Of several that contradict them it may be none. */
	if (p.d && p.candidates > 1 && !lies_inside(&e->vmm, p.d, g, (int64_t)(half < (1ull << 60) ? half : 1ull << 60))) {
		g->device_cause = CAUSE_AMBIGUOUS;
		return NULL;
	}
	if (!p.d)
		return NULL;
	if (p.candidates > 1)
		pick(e, g, e->wide, true);
	g->ambiguous = p.candidates > 1 || p.d->tainted;
	const struct submission *s = p.d->model == MODEL_FLUSH ? vmm_submission(&e->vmm, p.d->submit) : NULL;
	bool over = stamp_seen(&p.d->done) || (s && stamp_seen(&s->reap));
	g->device_cause = g->ambiguous ? CAUSE_AMBIGUOUS : over ? CAUSE_MATCHED : CAUSE_NO_COMPLETION;
	p.d->claimed = true;
	keytab_drop(&e->vmm.places, (uint32_t)(p.d->id & MASK));
	g->device = p.d->id + 1;
	return p.d;
}
