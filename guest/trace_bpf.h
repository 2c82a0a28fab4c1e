/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest kernel's vantage by BPF programs on the block layer's tracepoints and on the driver's functions: each writes 32 bytes
 * into a region of its CPU, which the agent reads after the window. It costs a request less than half of what ftrace's ring buffer
 * does (tests/bench/trace_cost: 1564 against 3748 guest instructions for five events), and needs BTF, a JIT and an agent that is root.
 *
 * Stamps: BPF programs of Linux 6.1 cannot read the TSC, but the kernel's `msr` PMU has it as an event. Its count is the TSC now
 * less the TSC when the event began, both as rdtsc gave them, so raw stamps follow by one addition. That constant is exact to the
 * cycle: it is the last reading that the kernel keeps for the event less its count, seen by a program of BPF_PROG_TEST_RUN, and is refused when it is
 * not within what two reads of the TSC around a read(2) of the event allow.
 */
#ifndef BIFOCAL_GUEST_TRACE_BPF_H
#define BIFOCAL_GUEST_TRACE_BPF_H

#include "guest/bpf_prog.h"
#include "guest/trace.h"

enum { TRACE_BPF_PROGS_MAX = 12 };

struct trace_bpf_cpu {
	unsigned cpu;
	int event;                    /* perf event; -1: none */
	uint64_t base;                /* TSC when its count was 0 */
	uint64_t sent;                /* records looked at */
	uint64_t lost;                /* never completed, or without a stamp */
	uint32_t index;               /* of the next TRACE_SIGHTS */
	bool sorted;
};

struct trace_bpf {
	struct bpf_maps map;
	struct bpf_layout layout;
	int link[TRACE_BPF_PROGS_MAX];
	unsigned n_links;
	volatile struct bpf_state *state;
	size_t state_bytes;
	struct bpf_record *record;    /* map.cpus regions of map.slots */
	size_t record_bytes;
	struct trace_bpf_cpu *cpu;
	unsigned n_cpus, at_cpu;
	struct sighting *unpacked;    /* SIGHT_CHUNK */
	struct wbuf packed;
};

/* Everything but the switch, attached. NULL with err for the reason: nothing of it stays in the kernel. `bytes` of records a CPU. */
struct trace_bpf *trace_bpf_open(const char *driver, uint64_t bytes, struct error *err);
void trace_bpf_close(struct trace_bpf *b);        /* NULL is fine */
void trace_bpf_switch(struct trace_bpf *b, bool on);
/* After the switch is off. False when the channel has no room just now. `sent` counts the messages. */
bool trace_bpf_send(struct trace_bpf *b, struct channel *ch, uint64_t run, uint64_t *sent);

#endif
