// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guest/rng.h"

enum { STREAM_BUFFERS = 2 << 16 };

const struct engine *engine_find(enum wl_engine which)
{
	static const struct engine *const engines[] = {
		[WL_ENGINE_io_uring] = &engine_io_uring,
		[WL_ENGINE_libaio] = &engine_libaio,
		[WL_ENGINE_psync] = &engine_psync,
	};

	return which < WL_ENGINE_COUNT ? engines[which] : NULL;
}

static int make_buffers(struct job *j, uint64_t seed, struct error *err)
{
	struct rng rng;
	size_t bs = (size_t)j->w->bs;

	j->buffer_bytes = bs * j->depth;
	void *p = mmap(NULL, j->buffer_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return error_sys(err, errno, "job %u: %zu bytes of I/O buffers; give a smaller bs, iodepth or numjobs", j->index, j->buffer_bytes);
	j->buffers = p;
	rng_seed(&rng, seed, STREAM_BUFFERS + j->index);
	for (size_t i = 0; i < j->buffer_bytes / sizeof(uint64_t); i++)
		((uint64_t *)p)[i] = rng_next(&rng);
	return 0;
}

static int make_slots(struct job *j, struct error *err)
{
	j->slots = calloc(j->depth, sizeof(*j->slots));
	j->idle = calloc(j->depth, sizeof(*j->idle));
	j->fresh = calloc(j->depth, sizeof(*j->fresh));
	if (!j->slots || !j->idle || !j->fresh)
		return error_set(err, ERR_LIMIT, "job %u: no memory for %u slots; give a smaller iodepth or numjobs", j->index, j->depth);
	for (unsigned i = 0; i < j->depth; i++) {
		j->slots[i].buf = (char *)j->buffers + i * (size_t)j->w->bs;
		j->idle[j->n_idle++] = (uint16_t)(j->depth - 1 - i);
		j->fresh[i] = 0;
	}
	return 0;
}

int job_init(struct job *j, const struct job_setup *s, struct error *err)
{
	memset(j, 0, sizeof(*j));
	j->engine = engine_find(s->w->ioengine);
	j->w = s->w;
	j->window = s->window;
	j->verify = s->verify;
	j->fd = s->fd;
	j->index = s->index;
	j->limit = s->limit;
	j->records = s->records;
	j->capacity = s->capacity;
	j->depth = j->engine->async ? (unsigned)s->w->iodepth : 1;
	pattern_init(&j->pattern, s->w, s->size, s->seed, s->index);
	pacing_init(&j->pacing, s->w, s->hz, s->seed, s->index);
	return make_buffers(j, s->seed, err) ? -1 : make_slots(j, err);
}

void job_fini(struct job *j)
{
	if (j->buffers)
		munmap(j->buffers, j->buffer_bytes);
	free(j->slots);
	free(j->idle);
	free(j->fresh);
	memset(j, 0, sizeof(*j));
}

/* Open-loop: an I/O is due when its arrival is; it keeps that instant however late it is submitted. */
static bool is_due(struct job *j, uint64_t *intended)
{
	if (j->pacing.gap <= 0)
		return true;
	*intended = j->window->open + (uint64_t)j->pacing.next;
	if (j->now < *intended)
		return false;
	pacing_advance(&j->pacing);
	return true;
}

struct slot *job_take(struct job *j)
{
	uint64_t intended = 0;

	if (!j->n_idle || !job_open(j) || (j->limit && j->counted + j->n_fresh >= j->limit) || !is_due(j, &intended))
		return NULL;
	struct pattern_io io = pattern_next(&j->pattern);
	unsigned number = j->idle[--j->n_idle];
	struct slot *s = &j->slots[number];
	s->intended = intended;
	s->offset = io.offset;
	s->length = io.length;
	s->op = io.op;
	j->fresh[j->n_fresh++] = (uint16_t)number;
	if (j->verify && io.op == IO_WRITE)
		verify_seal(j->verify, s->buf, io.offset / 512, j->issued + j->n_fresh);
	return s;
}

void job_stamp(struct job *j)
{
	uint64_t now = tsc_read();
	uint8_t flags = now < j->window->ramp_end ? IO_IN_RAMP : 0;

	for (unsigned i = 0; i < j->n_fresh; i++) {
		struct slot *s = &j->slots[j->fresh[i]];
		s->submit = now;
		s->flags = flags;
		if (!s->intended)
			s->intended = now;
		/* Flushes are the writes' company, not I/Os of number_ios, as in fio. */
		j->counted += !flags && s->op != IO_FLUSH;
	}
	j->issued += j->n_fresh;
	j->n_fresh = 0;
	j->now = now;
}

static void record(struct job *j, const struct slot *s, int32_t result, uint64_t now)
{
	if (j->recorded == j->capacity) {
		j->dropped++;
		return;
	}
	j->records[j->recorded++] = (struct io_record){
		.submit = s->submit,
		.reap = now,
		.intended = s->intended,
		.sector = s->offset / 512,
		.length = s->length,
		.result = result,
		.job = (uint16_t)j->index,
		.op = s->op,
		.flags = s->flags,
	};
}

void job_complete(struct job *j, struct slot *s, int32_t result, uint64_t now)
{
	bool good = result == (int32_t)s->length;

	record(j, s, result, now);
	j->errors += !good;
	if (j->verify && s->op == IO_WRITE)
		(good ? verify_mark : verify_forget)(j->verify, s->offset);
	j->idle[j->n_idle++] = (uint16_t)slot_number(j, s);
}

void job_fail(struct job *j, int errnum)
{
	j->failed = errnum;
	atomic_store(&j->window->stop, true);
}

/* Arrivals before the window's close that found no slot: the load asked for was not reached. */
static void count_skipped(struct job *j)
{
	uint64_t length = j->window->close - j->window->open;

	if (j->pacing.gap <= 0 || j->limit || atomic_load(&j->window->stop))
		return;
	while (j->pacing.next < (double)length) {
		pacing_advance(&j->pacing);
		j->skipped++;
	}
}

void job_run(struct job *j)
{
	/* Jobs are woken one after another; the opening lies a little ahead, so that they start as one. */
	while ((j->now = tsc_read()) < j->window->open)
		_mm_pause();
	j->started = j->now;
	j->engine->run(j);
	j->ended = tsc_read();
	count_skipped(j);
}
