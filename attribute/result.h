/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What attribution finds out: one request, and the account of a run.
 *
 * A request has up to 15 boundaries; those that were not seen are left out, and the phases around them merge. A span is the
 * time between two neighbours that were seen; its name comes from phase_span_name(). All times are guest cycles.
 */
#ifndef BIFOCAL_ATTRIBUTE_RESULT_H
#define BIFOCAL_ATTRIBUTE_RESULT_H

#include "common/boundary.h"
#include "common/hist.h"
#include "common/sight.h"

enum { ATTRIBUTION_VERSION = 1 };

/* Where a request was served. V(number, NAME, name, text); numbers are stored and permanent. */
#define SERVED_TABLE(V) \
	V(0, UNKNOWN, unknown, "the vantages that would tell are absent") \
	V(1, DEVICE, device, "the host's device") \
	V(2, HOST_CACHE, host_cache, "the host's page cache: a system call, and no block I/O under it") \
	V(3, VMM, vmm, "the VMM itself: no system call") \
	V(4, GUEST_CACHE, guest_cache, "the guest's page cache: nothing reached its block layer")

/* Why a request was not matched. Numbers are stored and permanent. */
#define CAUSE_TABLE(V) \
	V(0, MATCHED, matched, "every vantage that was there saw it") \
	V(1, NO_GUEST, no_guest, "the guest's kernel was traced, and no request of it fits") \
	V(2, NO_VMM, no_vmm, "it reached the guest's driver, and no request of the VMM fits") \
	V(3, NO_HOST, no_host, "the VMM submitted it, and no system call of the host fits") \
	V(4, NO_COMPLETION, no_completion, "it was seen on its way down only") \
	V(5, AMBIGUOUS, ambiguous, "several requests fit, and nothing tells them apart") \
	V(6, OVERRUN, overrun, "a trace buffer or log lost sightings around it") \
	V(7, EPOCH, epoch, "quarantined: the guest's clock broke between its boundaries") \
	V(8, ERROR, error, "it failed, or moved another length than asked") \
	V(9, OUTSIDE, outside, "in the ramp, or outside the window")

enum served { 
#define V(number, NAME, name, text) SERVED_##NAME = number,
	SERVED_TABLE(V)
#undef V
	SERVED
};
enum cause {
#define V(number, NAME, name, text) CAUSE_##NAME = number,
	CAUSE_TABLE(V)
#undef V
	CAUSES
};
const char *served_name(unsigned v);     /* "unknown" beyond the table */
const char *cause_name(unsigned v);
const char *cause_text(unsigned v);

/* One application I/O and its request. */
struct attributed {
	struct io_record io;
	uint64_t index;                  /* its place among the run's I/O records, from 0 */
	uint64_t at[BOUNDARIES];         /* guest cycles; valid where `seen` has the bit 1 << boundary */
	uint32_t own[BOUNDARIES];        /* half-width of at[] against its own side's TSC: 0 for TSC stamps, half a tick and more for a log's; saturates */
	uint64_t offset_err;             /* half-width of the map between the two sides' clocks */
	uint16_t kind[BOUNDARIES];       /* enum sight_kind that showed it; 0 for the application's own two */
	uint32_t thread[BOUNDARIES];
	uint16_t seen;                   /* app_submit and app_reap are always there */
	uint16_t suppressed;             /* boundaries that did not happen: a kick, notice or interrupt that another request's made needless */
	uint8_t served;                  /* enum served */
	uint8_t cause;                   /* enum cause */
	uint16_t children;               /* requests it was split into; the boundaries are those of the one that ended last */
	uint16_t shared;                 /* application I/Os that were merged into its request, itself included */
	uint16_t requeues;
	uint32_t epoch;
	uint16_t violations;             /* spans whose end lies before their start by more than their bound */
};

/* A span's bound, in guest cycles: how far its length may be from the truth: what its two stamps lack of their own (0 for the TSC),
 * and the map's half-width where it crosses. */
uint64_t attributed_bound(const struct attributed *r, unsigned from, unsigned to);

/* ---- the account of a run ---- */

enum {
	SPANS_MAX = BOUNDARIES * (BOUNDARIES - 1) / 2,
	LEVELS = 4,                      /* mean, p50, p99, p99.9 */
	EXAMPLES = 4,
	VANTAGE_TEXT_MAX = 192,
	EXAMPLE_TEXT_MAX = 512,
};

/* All requests in which `to` is the next boundary seen after `from`. Values may be negative within their bound. */
struct span_stat {
	uint8_t from, to;
	uint64_t count;
	int64_t min, max;
	double sum;                      /* of matched requests, cycles */
	int64_t p50, p90, p99, p999;     /* order statistics, to the histogram's 0.2 % (common/hist.h); INT64_MIN where n is too small */
	uint64_t bound;                  /* the largest of its requests' bounds */
};

/* Requests around one level of the total latency, and the mean of each span among them; contributions sum to `total`. */
struct level {
	uint64_t n;                      /* 0: n of the run is too small for the level */
	double lo, hi;                   /* the band of reap − submit, cycles */
	double total;
	double part[SPANS_MAX];          /* by the index of the span in attribution.span[]: sum over the band / n */
};

/* One tier's interval of guest − scaled host in an epoch, and what it rests on. */
struct tier_bound {
	uint64_t samples;                /* 0: the tier was not available */
	int64_t lo, hi;
};

struct epoch_bound {
	uint32_t epoch;
	uint64_t first_host, last_host;
	int64_t lo, hi;                  /* all tiers intersected */
	uint8_t tier;                    /* the tightest that took part */
	uint64_t requests;
	struct tier_bound by_tier[6];    /* by enum clock_tier */
};
enum { EPOCH_BOUNDS_MAX = 256 };         /* of more, the first ones are kept and the rest counted */

struct vantage_note {
	bool there;
	char text[VANTAGE_TEXT_MAX];     /* its source, "tracefs", "log"; or why it is absent */
	uint64_t sightings, lost;
};

enum example_role { EXAMPLE_TYPICAL, EXAMPLE_P99, EXAMPLE_WORST, EXAMPLE_VIOLATION };
struct example {
	bool there;
	struct attributed r;
};

struct attribution {
	uint32_t version;
	uint64_t host_hz, guest_hz;
	uint64_t seen, counted, matched;         /* counted: of the window, went well */
	uint64_t unmatched[CAUSES], served[SERVED];
	uint64_t suppressed[BOUNDARIES], splits, merges, requeues, quarantined;
	uint64_t violations;                     /* spans, of counted requests */
	char violation_example[EXAMPLE_TEXT_MAX];
	uint64_t residual_max;                   /* |sum of spans − (reap − submit)|, cycles */
	struct vantage_note vantage[4];          /* by enum vantage; [0] is the application */
	char absent[BOUNDARIES][VANTAGE_TEXT_MAX];   /* why a boundary was never seen; "" if it was */
	struct epoch_bound epoch[EPOCH_BOUNDS_MAX];
	uint32_t epochs, epochs_kept;
	size_t spans;
	struct span_stat span[SPANS_MAX];        /* by from, then to */
	struct level level[LEVELS];
	struct example example[EXAMPLES];
	uint64_t peak_bytes;                     /* memory that attribution took for itself */
};
extern const char *const level_name[LEVELS];     /* "mean" "p50" "p99" "p99.9" */
const char *example_name(unsigned role);         /* "typical" "p99" "worst" "violation" */

/* Half-width, in ns of the host, of the widest epoch that has requests in it; what a crossing phase carries. NAN without a clock. */
double attribution_bound_ns(const struct attribution *a);
/* The tier of that epoch, 0 if there is none. */
unsigned attribution_tier(const struct attribution *a);
double attribution_ns(const struct attribution *a, double guest_cycles);

/* The result as it is stored; `a` is some 100 KiB: keep it on the heap. */
void attribution_pack(struct wbuf *w, const struct attribution *a);
/* Hostile input fails, never trips; ERR_VERSION for another ATTRIBUTION_VERSION. */
int attribution_unpack(struct span packed, struct attribution *a, struct error *err);

#endif
