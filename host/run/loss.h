/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loss account: what was not seen, by name. Each is stored as attribute lost.NAME, zeros too, since a
 * zero says that it was counted. Any that is not zero makes the run partial. The store adds lost.collector.
 *
 * LOSS(name, text)
 */
#ifndef BIFOCAL_HOST_RUN_LOSS_H
#define BIFOCAL_HOST_RUN_LOSS_H

#include <stdint.h>

#define LOSS_TABLE(LOSS) \
	LOSS(io_no_memory, "I/O records that found no memory in the guest") \
	LOSS(io_missing, "I/O records that the guest kept and that did not arrive whole") \
	LOSS(io_outside, "I/O records whose stamps lie outside the window that the guest gave; kept, not counted") \
	LOSS(io_chunk_bad, "chunks of I/O records refused: they fail their checks or are out of order") \
	LOSS(io_chunk_missing, "chunks of I/O records that the guest sent and that did not arrive") \
	LOSS(sample_no_memory, "probe samples that found no memory in the guest") \
	LOSS(sample_chunk_bad, "chunks of probe samples refused") \
	LOSS(sample_chunk_missing, "chunks of probe samples that did not arrive") \
	LOSS(trace_overrun, "kernel events that the guest's trace buffers had no room for") \
	LOSS(trace_page_bad, "pages of the guest's trace that were refused, or held what does not decode") \
	LOSS(trace_page_missing, "pages of the guest's trace that were sent and that did not arrive") \
	LOSS(trace_vmm, "events of QEMU's trace that could not be read, or were not written; counted as 1 where nobody counted") \
	LOSS(trace_host, "events that this node's own trace buffers had no room for, or that do not decode") \
	LOSS(host_sample, "host probe samples that found no memory") \
	LOSS(gap_frame, "frames that the agent's ring had to drop") \
	LOSS(message_bad, "messages from the guest that could not be decoded") \
	LOSS(over_limit, "chunks refused because the run grew past its bound in the database") \
	LOSS(probe, "probe halves that were quarantined") \
	LOSS(clock, "clock sides that are missing: no exchange before, or none after the window") \
	LOSS(window, "windows that ended early") \
	LOSS(event, "life-cycle events that were asked for and did not come to pass") \
	LOSS(guest, "guests that vanished before all was drained")

struct loss {
#define LOSS(name, text) uint64_t name;
	LOSS_TABLE(LOSS)
#undef LOSS
};

#endif
