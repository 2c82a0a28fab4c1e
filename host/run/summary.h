/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `show`, `list` and a finished cell say about a run, computed from the store's raw records. */
#ifndef BIFOCAL_HOST_RUN_SUMMARY_H
#define BIFOCAL_HOST_RUN_SUMMARY_H

#include "host/dist.h"
#include "store/store.h"

enum { SUMMARY_OPS = 4, SUMMARY_SERIES_MAX = 4096 };

struct summary_counts {
	uint64_t seen;                 /* records in the store */
	uint64_t counted;              /* reads and writes of the window that went well: what the figures are made of */
	uint64_t ramp;                 /* submitted in the ramp: kept, not counted */
	uint64_t outside;              /* stamps outside the window as the guest gave it: kept, not counted */
	uint64_t errors;               /* of the window, with an error or another length than asked: not counted */
	uint64_t violations;           /* reaped before they were submitted */
	uint64_t bytes;                /* moved by the counted ones */
	uint64_t op[SUMMARY_OPS];      /* of the window that went well, by enum io_op */
	bool open_loop;                /* some were meant for another time than they were submitted at */
};

struct summary_series {
	enum store_side side;
	uint32_t series;
	char metric[128], dims[256], kind[32], unit[32];
	uint64_t n;
	double sum, min, max, first, last;
	uint64_t first_tsc, last_tsc;
};

struct summary_clock {
	uint64_t epochs, samples;
	unsigned tier;                 /* 0: none was observed */
	double bound_ns;               /* half-width of the offset around the window */
	bool jumped;                   /* the window lies in no single epoch */
};

struct summary {
	struct store_run run;
	uint64_t host_hz, guest_hz;
	uint64_t window_open, ramp_end, window_close;
	double seconds;                /* of the window without its ramp */
	struct summary_counts counts;
	uint64_t io_bytes;             /* that the I/O records take in the database, keys included */
	struct dist service;           /* reap − submit, reads and writes */
	struct dist response;          /* reap − intended; empty for closed-loop load */
	struct dist op[SUMMARY_OPS];   /* service by operation, where there is more than one */
	unsigned ops;                  /* kinds of operation that occurred */
	struct summary_clock clock;
	struct summary_series *series;
	size_t n_series;
};

/* The first pass alone: counts, no latencies. */
int summary_count(struct store *s, uint64_t run, struct summary_counts *out, struct error *err);
/* `run` UINT64_MAX: the last. */
int summary_load(struct store *s, uint64_t run, struct summary *out, struct error *err);
void summary_fini(struct summary *sum);

double summary_iops(const struct summary *sum);
double summary_ns(const struct summary *sum, double cycles);
/* Mean number in flight by Little's law: rate × mean latency. */
double summary_in_flight(const struct summary *sum);
/* An attribute as a number; 0 when it is absent or none. */
uint64_t summary_attr_u64(struct store *s, uint64_t run, const char *key);

#endif
