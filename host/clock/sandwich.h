/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tier `sandwich`: a guest stamp is taken while its vCPU runs guest code, thus between a kvm_entry and the kvm_exit that follows it in the
 * vCPU's thread. With g a guest stamp and [entry, exit] the stay it was taken in, offset = guest − scaled host lies in
 * [g − scaled(exit), g − scaled(entry)]. Which stay that was is not known beforehand; but an interval that holds the offset (another
 * tier's, say) leaves few of them, often one. The hull of those it leaves holds the offset, and the next stamp has a narrower one to begin with.
 *
 * The tracepoints themselves lie a little within the host's side of entry and exit: kvm_entry is hit before the CPU enters, kvm_exit
 * after it has left. So the stays are too long rather than too short, and the interval holds.
 */
#ifndef BIFOCAL_HOST_CLOCK_SANDWICH_H
#define BIFOCAL_HOST_CLOCK_SANDWICH_H

#include "host/clock/clock.h"
#include "store/store.h"

enum { SANDWICH_STAYS = 1024 };            /* remembered a vCPU; older ones are forgotten, and stamps from then tell nothing */

struct sandwich;

/* `bound` holds the offset; at most CLOCK_VCPUS_MAX vCPUs. NULL with err. */
struct sandwich *sandwich_new(unsigned vcpus, struct tsc_scale scale, struct clock_interval bound, struct error *err);
void sandwich_free(struct sandwich *s);
/* What the vCPU's thread did, in the order of time. What contradicts itself (an exit without an entry, an exit before its entry)
 * is forgotten, with the stay. */
void sandwich_entry(struct sandwich *s, unsigned vcpu, struct host_tsc at);
void sandwich_exit(struct sandwich *s, unsigned vcpu, struct host_tsc at);
/* Events were lost: nothing is known of the stays around `at`. */
void sandwich_lost(struct sandwich *s, struct host_tsc at);
/* Whether all stays that may hold the stamp are over: the vCPU has entered again since. */
bool sandwich_ripe(const struct sandwich *s, unsigned vcpu, struct guest_tsc g);
enum sandwich_verdict {
	SANDWICH_NOTHING,                  /* it tells nothing new, is not ripe, or older than the stays that are remembered */
	SANDWICH_NARROWED,                 /* *at and *offset are what it tells: a clock observation */
	SANDWICH_CONTRADICTION,            /* no stay fits, though all are known: counted; the bound stays */
};
enum sandwich_verdict sandwich_stamp(struct sandwich *s, unsigned vcpu, struct guest_tsc g, struct host_tsc *at, struct clock_interval *offset);
struct clock_interval sandwich_bound(const struct sandwich *s);

/* ---- over a stored run ---- */

enum { SANDWICH_SAMPLES_MAX = 4096, SANDWICH_EPOCHS_MAX = 16 };

struct sandwich_result {
	uint64_t stamps, contradictions;   /* guest stamps looked at; those that no stay fits */
	size_t samples;
	struct clock_sample *sample;       /* malloc'd: the narrowing ones, at most SANDWICH_SAMPLES_MAX */
};
/* Reads the run's streams, a chunk of each at a time, once for each of the first SANDWICH_EPOCHS_MAX epochs. `vcpu_tid[n]` is the thread of
 * vCPU n, `epochs` are what other tiers left. Nothing to read (no kvm events, no guest stamps) is no error: no samples then. */
int sandwich_run(struct store *st, uint64_t run, const int *vcpu_tid, unsigned vcpus, struct tsc_scale scale,
		 const struct clock_epoch *epochs, size_t n, struct sandwich_result *out, struct error *err);

#endif
