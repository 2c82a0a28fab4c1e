/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of attribution: one pass over a run's streams and I/O records, side by side on one axis of time.
 *
 * The axis. Every stamp becomes a signed number of guest cycles: a host's is scaled (common/tscmap.h) and moved by a constant, a guest's
 * is taken back by the midpoint of its epoch's offset. On it the sides are off by at most the epoch's half-width; a VMM's log
 * adds its own. Adding the midpoint back gives a guest's stamp exactly as it was.
 *
 * Memory is bounded by the capacities below, whatever the run: rings of objects, the oldest overwritten, found by (op, sector).
 */
#ifndef BIFOCAL_ATTRIBUTE_ENGINE_H
#define BIFOCAL_ATTRIBUTE_ENGINE_H

#include <stdbool.h>

#include "attribute/attribute.h"
#include "common/clock_tier.h"
#include "common/tscmap.h"

enum {
	POOL_REQUESTS = 1 << 15,       /* of each side: far more than any depth, since an I/O is joined soon after its reaping */
	POOL_CALLS = 1 << 15,
	THREADS_MAX = 4096,            /* QEMU's: vCPUs, I/O threads, workers; of more, the later ones are not followed */
	GUEST_CPUS_MAX = 1024,
	EPOCHS_MAX = 4096,
	ANCHORS_MAX = 1 << 16,
	MARKS_MAX = 256,               /* the latest ones; an I/O looks at those inside it */
	WALK_MAX = 256,                /* candidates looked at for one request */
	BLK_MAX = 32,                  /* requests that virtio-blk submits as one, at most */
	STREAM_BYTES = 26 << 20,       /* all streams' buffers together, kept or by chunks */
	DISTANCES_MAX = 1 << 14,       /* of the file's extents; those least voted for give way */
	LANE_BYTES = 6 << 20,          /* all jobs' buffers together */
};

/* ---- memory ---- */

/* n zeroed things of `size` bytes; NULL without memory. Freed with the same numbers; NULL is fine. */
void *pool_new(size_t n, size_t size);
void pool_free(void *p, size_t n, size_t size);

/* ---- keys: where the objects of a ring are that are about one place ---- */

struct keyslot {
	uint64_t key;
	uint32_t next, prev;           /* slot + 1; 0: none */
};
struct keytab {
	uint32_t *head;                /* slot + 1; 0: none */
	struct keyslot *slot;
	uint32_t slots, mask;          /* heads in use − 1: it grows with what is in */
	uint32_t in, touched;          /* slots that are in; above all that ever were */
};
int keytab_init(struct keytab *t, uint32_t slots);      /* a power of two; -1 without memory */
void keytab_fini(struct keytab *t);
void keytab_clear(struct keytab *t);
void keytab_put(struct keytab *t, uint32_t slot, uint64_t key);
void keytab_drop(struct keytab *t, uint32_t slot);      /* nothing if it is not in */
/* Slots with `key`, newest first: slot + 1, 0 at the end. */
uint32_t keytab_first(const struct keytab *t, uint64_t key);
uint32_t keytab_after(const struct keytab *t, uint32_t at);
uint64_t keytab_bytes(const struct keytab *t);
static inline uint64_t place_key(unsigned op, uint64_t sector) { return sector << 3 | (op & 7); }

/* ---- the clocks ---- */

struct epoch_map {
	int64_t lo, hi, mid;           /* guest − scaled host; mid relative to nothing: modulo 2^64 */
	uint64_t half;
	int64_t from, to;              /* its span on the axis */
	int64_t causal_lo, causal_hi;  /* of pass 1, against mid */
	uint64_t causal_below, causal_above;   /* pairs that bounded it from either side */
	struct epoch_bound bound;
};

struct anchor {
	uint64_t ns;                   /* what the log's clock showed */
	int64_t mid;                   /* on the axis: midpoint of the bracket */
	uint64_t width;                /* and its width */
	double q, bend;                /* cycles a ns from here to the next one, and half-width beside the brackets; q 0: broken */
};
struct anchors {                       /* of one log, in the order in which they were taken */
	struct anchor *list;
	size_t n, cap, every, skipped;
	size_t at;                     /* anchors passed on the way through the log */
	bool by_place;                 /* a log's lines stand in order with its anchors; a buffered file's do not */
	uint64_t rest;                 /* what truncation leaves open: 999 ns, or 0 */
	uint64_t unplaced;             /* stamps that cannot be converted */
};

struct clockmap {
	struct tsc_scale scale;
	uint64_t base;                 /* scaled host cycles at the axis's zero */
	struct epoch_map *epoch;
	uint32_t epochs, total;        /* kept, and all */
	bool known;                    /* false: no epoch was stored; the guest's stamps are all there is */
	uint64_t hz;                   /* guest cycles a second */
};

int clockmap_load(struct clockmap *c, struct store *s, uint64_t run, struct error *err);
void clockmap_fini(struct clockmap *c);
/* An ANCHOR sighting, in the order of the log. -1 without memory. */
int logmap_take(struct anchors *a, const struct clockmap *c, const struct sighting *s);
void logmap_seal(struct anchors *a);
/* A log's stamp; *own gets its half-width. False when it cannot be converted. */
bool logmap_place(struct anchors *a, uint64_t ns, int64_t *t, uint32_t *own);
int64_t clockmap_host(const struct clockmap *c, uint64_t tsc);
/* A guest's stamp; *epoch is where to look first, and then where it lies. A stamp in a break goes to the nearest epoch. */
int64_t clockmap_guest(const struct clockmap *c, uint64_t tsc, uint32_t *epoch);
uint64_t clockmap_at(const struct clockmap *c, int64_t t, uint32_t epoch);
/* The first epoch reaches back to `last_before`, the last one on to `first_after` (exclusive): marks, or INT64_MIN and INT64_MAX. */
void clockmap_extend(struct clockmap *c, int64_t last_before, int64_t first_after);
/* The guest's stamp at `before` precedes the host's at `after`, and the other way round; `own` is the host stamp's half-width. */
void clockmap_guest_first(struct clockmap *c, uint32_t epoch, int64_t guest, int64_t host, uint32_t own);
void clockmap_host_first(struct clockmap *c, uint32_t epoch, int64_t host, int64_t guest, uint32_t own);
/* After pass 1: narrows the epochs. Returns how many contradict what was stored; their tier causal is left out. */
uint32_t clockmap_narrow(struct clockmap *c);

/* ---- sightings and I/O records in the order of the axis ---- */

struct stream_in {
	struct store_stream is;
	struct sighting *buf;
	uint32_t n, at, chunk, skip;   /* sightings in buf, next, its chunk and how many of the chunk lie before buf */
	uint32_t epoch;
	struct anchors anchors;        /* of a log */
	bool ended;
	bool kept;                     /* buf holds all of it, over both passes; times are on the axis, but for the guest's */
	uint64_t room;                 /* of those kept: what buf and own hold */
	uint32_t *own;                 /* of a log that is kept: half-width of each time */
	uint64_t passed;               /* of those kept: left out, since no join needs them */
};

struct lane_in {                       /* the I/O records of one job */
	struct io_record *buf;
	uint32_t n, at, chunk, skip, first;
};

struct io_chunk {
	uint32_t index, next, n;       /* chunk in the store; the job's next one + 1 */
	uint64_t first;                /* the run's record number of its first record */
};

struct event {
	int64_t t;
	uint32_t own;                  /* half-width of t against its own side's TSC */
	uint16_t stream;               /* index into inputs.stream */
	const struct sighting *s;
};

struct inputs {
	struct store *store;
	uint64_t run;
	struct stream_in *stream;
	uint32_t streams, lanes;
	struct lane_in *lane;
	struct io_chunk *chunk;
	uint32_t chunks, per_stream, per_lane;
	struct sighting *scratch;
	struct io_record *io_scratch;
	struct heap_entry { int64_t t, real; uint32_t source, own; } *heap;
	uint32_t heaped;
	bool given;                    /* the top of the heap was given, and has to move on first */
	uint64_t depth;                /* I/Os of a job that are out at once, at most; 0: not known */
	int64_t lag;                   /* an I/O comes this long after its reaping */
	uint64_t passed;               /* of all streams: sightings of the host that no join needs, and that were not given */
	uint64_t bytes;
	struct clockmap *clock;
};

struct io_ref {
	const struct io_record *r;
	uint64_t index;
};

/* Lists streams and I/O chunks, gathers anchors. `each` sees every I/O record once, in the order of the store. */
int inputs_open(struct inputs *in, struct store *s, uint64_t run, struct clockmap *c,
		void (*each)(void *ctx, const struct io_record *r), void *ctx, struct error *err);
void inputs_fini(struct inputs *in);
/* Back to the beginning. */
int inputs_rewind(struct inputs *in, struct error *err);
/* 1: *e is a sighting; 2: *io is an I/O; 0: the end; -1 with err. What is given lives until the next call. */
int inputs_next(struct inputs *in, struct event *e, struct io_ref *io, struct error *err);
/* Whether an I/O like the one given last, still to come, was submitted no later than `t`, or may have been. */
bool inputs_rival(const struct inputs *in, const struct io_record *io, int64_t t);

/* ---- what the sides know of a request ---- */

enum { T_NONE = 0 };

struct stamp {
	int64_t t;
	uint32_t own, thread;
	uint16_t kind;                 /* 0: not seen */
};

struct bio {
	uint64_t sector, request;      /* id + 1 of the request it went into */
	int64_t t;
	uint32_t length, thread, cpu;
	uint8_t op;
	bool claimed, tainted;
};

struct guest_request {
	uint64_t id, sector;
	uint64_t issue_no;             /* how many were issued before */
	uint64_t device;               /* id + 1 of the device's request */
	uint64_t block;                /* without a VMM vantage: id + 1 of the host block request */
	int64_t issue, complete;
	struct stamp kick, irq_here, irq_any;
	uint32_t length, left, issue_thread, complete_thread, cpu_next;   /* left: bytes not yet completed */
	uint32_t kick_cpu, cpu;        /* cpu: that issued it */
	uint16_t requeues, merged, claims;
	uint8_t op;
	bool idle, alone, completed, requeued, joined, tainted, ambiguous, counted;
	uint16_t generation;
	uint8_t device_cause;          /* why there is no device request */
};

struct device_request {
	uint64_t id, sector, key, queue;
	uint64_t submit;               /* id + 1 of what it submitted to the host */
	uint64_t block;                /* id + 1 of the host block request under it */
	uint64_t call;                 /* without a submission: id + 1 of its system call */
	struct stamp notify, start, done, inject, called_back;
	uint32_t length, thread, device, undelivered;
	uint8_t op, model;
	bool active, claimed, tainted, placed, joined, twin;   /* twin: several system calls fit */
};

struct submission {                    /* VMM to host kernel */
	uint64_t id, sector, key;
	uint64_t call, block;          /* id + 1 of the system call, and of the block request under it */
	uint64_t before;               /* id + 1 of its request's submission before it */
	uint64_t anonymous;            /* id + 1 of the flush that it is all one knows of */
	struct stamp submit, reap;
	uint32_t length;
	uint8_t op, cause;
	bool joined, placed, twin;
};

struct call {
	uint64_t id, sector, before;   /* id + 1 of the thread's call before */
	struct stamp enter, exit;
	uint32_t length, thread;
	uint16_t number;
	uint8_t op;
	bool claimed, placed, searched;
};

struct host_block {                    /* what many are looked through for stands first, on one line of memory */
	uint64_t id, sector, before;
	int64_t first;                 /* when its bio was queued, or it was issued */
	uint32_t length, thread, device;
	uint8_t op;
	bool claimed;
	struct stamp issue, complete;
};

struct thread {
	uint32_t tid;
	struct stamp notify;
	uint64_t notify_queue, flush;
	uint32_t notify_device;
	uint32_t undelivered;          /* device requests done, not yet told of by an interrupt: slot + 1 */
	uint64_t blk[BLK_MAX];         /* what the block layer took last on it */
	uint32_t blks;
	uint64_t last_submission;      /* id + 1, not yet with its worker's key */
	uint64_t scsi;                 /* id + 1 of the SCSI request that waits for its place */
};

/* From a place in the file to the disk's, in sectors, modulo 2^64; an extent has one. */
struct distance { uint64_t distance; uint32_t votes; };

struct host_thread { uint32_t tid; uint64_t open_call, last_call, last_block; };

struct queue_stat { uint64_t key; uint32_t events, useful; };
enum { QUEUES_MAX = 1024 };

struct lost_zone { int64_t from, to; uint8_t vantage; };

struct guest_side {
	struct bio *bio;
	struct guest_request *request;
	struct keytab bios, requests;
	uint64_t bio_ids, ids, outstanding;
	uint32_t cpu_pending[GUEST_CPUS_MAX];          /* issued, not yet kicked: slot + 1 */
	struct stamp cpu_irq[GUEST_CPUS_MAX], irq;
	struct queue_stat kick[QUEUES_MAX], irq_queue[QUEUES_MAX];
	uint16_t generation;
	uint64_t last_flush, irq_key;
	bool irq_uncredited;
};

struct vmm_side {
	struct device_request *request;
	struct submission *submission;
	struct keytab places, keys, submissions;
	uint64_t ids, submission_ids;
	struct thread *thread;
	struct keytab threads;
	uint32_t thread_count;
	struct stamp nvme_notify[64];
	struct thread all;             /* what emulated controllers leave to their interrupt: threads differ there */
};

struct host_side {
	struct call *call;
	struct host_block *block;
	struct keytab calls, blocks;
	uint64_t call_ids, block_ids;
	struct host_thread *thread;
	struct keytab threads;
	uint32_t thread_count;
	struct distance *distance;     /* DISTANCES_MAX, a hash table; what was learnt stays over passes */
	uint8_t *tag, *few;            /* of each: a byte of its hash; its votes, as long as a byte holds them */
	struct distance top;           /* a copy of the one that has the most votes */
};

struct kvm_event { int64_t t; uint64_t key; uint32_t thread; uint16_t kind; };

struct kvm_side {
	struct kvm_event *event;       /* a ring of POOL_CALLS, in the order of time */
	uint64_t n;                    /* ever */
	uint32_t vcpu[GUEST_CPUS_MAX], vcpus;          /* thread of each of the guest's CPUs; 0: not known */
	bool kicked[GUEST_CPUS_MAX];   /* since the vCPU's last write that trapped */
	struct queue_stat doorbell[QUEUES_MAX];        /* by address */
};

struct engine {
	struct store *store;
	uint64_t run;
	struct clockmap clock;
	struct inputs in;
	struct guest_side guest;
	struct vmm_side vmm;
	struct host_side host;
	struct kvm_side kvm;
	struct lost_zone lost[MARKS_MAX];
	uint32_t losts;
	int64_t mark[MARKS_MAX];
	uint32_t marks;
	int64_t last_before, first_after;      /* the marks next to the first epoch's beginning and the last one's end */
	int64_t *stream_last;          /* by stream: time of the sighting before */
	/* What the run's attributes say. */
	uint64_t open, close, guest_device, host_device;
	uint64_t fd[16];
	uint32_t fds;
	bool direct, polls, null_backend, raw, virtio_blk;
	bool queue_per_cpu;            /* of the guest's: what a CPU queues, it issues */
	bool have_guest, have_vmm, have_host, have_host_block, have_notify, have_inject, have_kick, have_irq, have_submissions, have_calls;
	int64_t wide;                  /* how far outside its bounds a stamp is still looked for */
	bool causal;                   /* pass 1 */
	uint8_t vantage_of[SIGHT_KINDS];
	uint64_t seen_kinds[SIGHT_KINDS / 64];
	uint64_t sightings[5];
	uint64_t bytes;
};

int guest_init(struct guest_side *g);
void guest_fini(struct guest_side *g);
void guest_reset(struct guest_side *g);
void guest_see(struct engine *e, const struct event *v);

/* What an I/O found in the guest's kernel. */
struct guest_match {
	struct guest_request *last;    /* the request that ended last */
	struct stamp queue;
	uint32_t children;
	bool found, incomplete, ambiguous;
};
void guest_find(struct engine *e, const struct io_record *io, int64_t submit, int64_t reap, struct guest_match *m);

int vmm_init(struct vmm_side *v);
void vmm_fini(struct vmm_side *v);
void vmm_reset(struct vmm_side *v);
void vmm_see(struct engine *e, const struct event *v);
/* The device's request of a guest's: joined once, remembered in it. NULL: g->device_cause says why. */
struct device_request *vmm_find(struct engine *e, struct guest_request *g, uint64_t half);
struct submission *vmm_submission(struct vmm_side *v, uint64_t id_plus_1);

int host_init(struct host_side *h);
void host_fini(struct host_side *h);
void host_reset(struct host_side *h);
void host_see(struct engine *e, const struct event *v);
/* The system call of a device's request, or NULL. */
struct call *host_find(struct engine *e, struct device_request *d, struct submission *s);
/* The same without a VMM vantage: by the guest's request itself. */
struct call *host_find_guest(struct engine *e, struct guest_request *g, uint64_t half);
/* The block request under it, remembered as id + 1 in what asks for it; `sector` is the file's, NULL where nobody knows it. */
struct host_block *host_block_of(struct engine *e, struct call *c, uint64_t *remembered, const uint64_t *sector, unsigned op, uint32_t length);

int kvm_init(struct kvm_side *k);
void kvm_fini(struct kvm_side *k);
void kvm_reset(struct kvm_side *k);
/* A guest's CPU has kicked: what traps next is a doorbell. */
void kvm_kicked(struct kvm_side *k, uint32_t cpu);
/* KVM_MMIO and KVM_INJECT; others are none of its business. */
void kvm_see(struct engine *e, const struct event *v);
/* The exit that g's kick took, no later than `begin`; not seen where none is known for sure. */
struct stamp kvm_notice(const struct engine *e, const struct guest_request *g, int64_t half, int64_t begin);
/* The message after the VMM's word for it, in the same thread, no later than `latest`. */
struct stamp kvm_injection(const struct engine *e, const struct stamp *said, int64_t latest);

bool queue_useful(const struct queue_stat table[QUEUES_MAX], uint64_t key);
void queue_count(struct queue_stat table[QUEUES_MAX], uint64_t key, unsigned events, bool useful);

/* Joins one I/O; in the causal pass, what it says of the clocks goes to the clock map. */
void join_io(struct engine *e, const struct io_ref *io, struct attributed *r);

/* ---- the account ---- */

struct account;
struct account *account_new(struct error *err);
void account_free(struct account *a);
/* First every I/O that counts by its total, then every one with its request. */
void account_total(struct account *a, uint64_t cycles);
void account_seal(struct account *a);
void account_add(struct account *a, struct attribution *out, const struct attributed *r);
void account_close(struct account *a, struct attribution *out);
uint64_t account_bytes(const struct account *a);

/* Stamps may be made up: sums and differences wrap. */
static inline int64_t t_sub(int64_t a, int64_t b) { return (int64_t)((uint64_t)a - (uint64_t)b); }
static inline int64_t t_add(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
static inline bool stamp_seen(const struct stamp *s) { return s->kind != 0; }

/* OUTSIDE, ERROR or MATCHED: what an I/O is before anything is joined. */
unsigned record_cause(const struct engine *e, const struct io_record *r);

#endif
