/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every message, once. The enum, names, structs, encoders, decoders and
 * docs/protocol.md are made from this table; nothing else knows a layout.
 *
 * Numbers are permanent: a new message goes to the end, a dead one leaves its gap.
 * A new field goes to the end of its message with the protocol version raised;
 * both sides speak exactly PROTOCOL_VERSION, since image and collector ship together.
 *
 * MSG(number, NAME, name, direction, delivery, since, text)
 *   direction  h2g, g2h, both
 *   delivery   plain      lost with a bad frame or a closed port; made to be repeated
 *              reliable   sequenced, kept by the sender until acknowledged
 * F(type, name, text)  type: u8 u16 u32 u64 i32 i64 f64 str blob id16
 *
 * Text in `str` is UTF-8 without NUL. Lists travel as one message an element.
 */
#ifndef BIFOCAL_COMMON_MESSAGE_TABLE_H
#define BIFOCAL_COMMON_MESSAGE_TABLE_H

#define PROTOCOL_VERSION 3

#define MSG_TABLE(MSG) \
	MSG(1, SYNC, sync, both, plain, 1, "Opens or re-aligns a direction: after open, reopen or a bad frame") \
	MSG(2, ACK, ack, both, plain, 1, "Everything up to seq is safe; the collector says so after the store's commit") \
	MSG(3, GAP, gap, both, reliable, 1, "Stands for frames that the sender's ring had to drop") \
	MSG(4, GREET, greet, h2g, reliable, 1, "The collector names itself and asks for hello") \
	MSG(5, HELLO, hello, g2h, reliable, 1, "What the guest is; followed by one disk message a disk and hello_end") \
	MSG(6, DISK, disk, g2h, reliable, 1, "One block device of the guest") \
	MSG(7, HELLO_END, hello_end, g2h, reliable, 1, "The greeting is complete") \
	MSG(8, CLOCK_PING, clock_ping, h2g, plain, 1, "First stamp of a four-stamp clock exchange") \
	MSG(9, CLOCK_PONG, clock_pong, g2h, plain, 1, "Second and third stamp of a four-stamp clock exchange") \
	MSG(10, PROBE_LOAD, probe_load, h2g, reliable, 1, "A Lua probe's source, to be loaded before a run") \
	MSG(11, PROBE_STATE, probe_state, g2h, reliable, 1, "A probe was loaded, skipped or quarantined") \
	MSG(12, RUN_PREPARE, run_prepare, h2g, reliable, 1, "The next run's workload, disk and seed; memory is reserved on it") \
	MSG(13, RUN_READY, run_ready, g2h, reliable, 1, "Memory is reserved, the disk is open, the jobs wait") \
	MSG(14, RUN_START, run_start, h2g, reliable, 1, "Opens the window") \
	MSG(15, RUN_DONE, run_done, g2h, reliable, 1, "The window is closed; what happened in it; records follow") \
	MSG(16, RUN_ABORT, run_abort, h2g, reliable, 1, "Ends a run early; run_done still follows") \
	MSG(17, IO_CHUNK, io_chunk, g2h, reliable, 1, "I/O records, as common/iorec.h packs them") \
	MSG(18, SERIES, series, g2h, reliable, 1, "Gives a number to one metric with one set of dimensions") \
	MSG(19, SAMPLES, samples, g2h, reliable, 1, "Probe samples, as common/samples.h packs them") \
	MSG(20, RUN_DRAINED, run_drained, g2h, reliable, 1, "All that belongs to the run was sent on this port before this message") \
	MSG(21, LOG, log, g2h, reliable, 1, "A line for the collector's log") \
	MSG(22, ERROR, error, g2h, reliable, 1, "A request was refused or failed") \
	MSG(23, POWEROFF, poweroff, h2g, reliable, 1, "Sync and power the guest off") \
	MSG(24, PROBE_CLEAR, probe_clear, h2g, reliable, 1, "Forget all probes loaded so far") \
	MSG(25, TRACE_EVENT, trace_event, g2h, reliable, 2, "A kernel event that was traced, and how its records are laid out") \
	MSG(26, TRACE_ABSENT, trace_absent, g2h, reliable, 2, "A sighting that this guest cannot have, and why") \
	MSG(27, TRACE_PAGES, trace_pages, g2h, reliable, 2, "Raw pages of one CPU's trace buffer, in order") \
	MSG(28, TRACE_END, trace_end, g2h, reliable, 2, "All of one CPU's pages were sent; what its buffer lost") \
	MSG(29, CLOCK_PAIR, clock_pair, h2g, plain, 2, "Asks for one reading of the host's clock through ptp_kvm") \
	MSG(30, CLOCK_PAIRED, clock_paired, g2h, plain, 2, "The reading, between two stamps of the guest's TSC") \
	MSG(31, TRACE_SIGHTS, trace_sights, g2h, reliable, 3, "What one CPU saw, recorded by BPF programs: sightings, in order")

#define MSG_SYNC_FIELDS(F) \
	F(u32, nonce, "epoch that the sender of this message wants to see in frames from now on; never 0") \
	F(u32, echo, "the peer's nonce as last seen, 0 if none") \
	F(id16, instance, "who the sender is: the agent's boot id, or a number the collector drew at its start") \
	F(id16, peer, "whose frames `have` counts; zeros if nobody's yet") \
	F(u64, have, "highest sequence number delivered from `peer` without a hole") \
	F(u64, base, "lowest sequence number that the sender still holds; the next one it will give if none")
#define MSG_ACK_FIELDS(F) \
	F(u64, seq, "highest sequence number that is safe")
#define MSG_GAP_FIELDS(F) \
	F(u64, first, "sequence number of the first frame that the receiver never gets") \
	F(u64, last, "and of the last, which is the gap's own number") \
	F(u64, bytes, "payload bytes dropped; an upper bound when frames before `first` went with them") \
	F(str, counts, "messages dropped by name, with the same caution: \"samples=12 log=1\"")
#define MSG_GREET_FIELDS(F) \
	F(u32, protocol, "PROTOCOL_VERSION") \
	F(str, version, "the collector's version")
#define MSG_HELLO_FIELDS(F) \
	F(u32, protocol, "PROTOCOL_VERSION") \
	F(str, version, "the agent's version") \
	F(id16, boot_id, "the kernel's boot id") \
	F(str, kernel, "uname release and version") \
	F(u32, cpus, "CPUs online") \
	F(u64, memory, "bytes of memory in all") \
	F(u64, tsc_hz, "TSC frequency as measured against CLOCK_MONOTONIC_RAW") \
	F(str, tsc_flags, "TSC flags of /proc/cpuinfo, blank-separated") \
	F(str, clocksource, "current clock source, then the others available, blank-separated") \
	F(str, tracing, "tracing abilities: tracefs kprobes uprobes x86-tsc bpf, blank-separated") \
	F(str, ports, "names of the Bifocal ports found, blank-separated") \
	F(u64, uptime_ns, "CLOCK_BOOTTIME when the agent started")
#define MSG_DISK_FIELDS(F) \
	F(str, name, "kernel name: vdb, sda, nvme0n1") \
	F(str, serial, "serial number, empty if it has none") \
	F(str, driver, "kernel driver: virtio_blk, ahci, nvme, ata_piix, virtio_scsi …") \
	F(str, scheduler, "I/O scheduler in use") \
	F(u64, size, "bytes") \
	F(u32, logical_block, "bytes") \
	F(u32, physical_block, "bytes") \
	F(u32, queues, "hardware queues") \
	F(u8, writable, "1 if the agent may write to it: serial bifocal-scratch")
#define MSG_HELLO_END_FIELDS(F) \
	F(u32, disks, "disk messages sent")
#define MSG_CLOCK_PING_FIELDS(F) \
	F(u64, id, "number of this exchange") \
	F(u64, t1, "host TSC just before the write")
#define MSG_CLOCK_PONG_FIELDS(F) \
	F(u64, id, "as in the ping") \
	F(u64, t1, "as in the ping") \
	F(u64, t2, "guest TSC just after the read") \
	F(u64, t3, "guest TSC just before the write")
#define MSG_PROBE_LOAD_FIELDS(F) \
	F(u32, probe, "number that later messages use for it") \
	F(str, name, "file name, for error messages") \
	F(str, options, "key=value pairs, newline-separated") \
	F(blob, source, "Lua text")
#define MSG_PROBE_STATE_FIELDS(F) \
	F(u32, probe, "") \
	F(u8, state, "enum probe_state") \
	F(str, text, "reason, with file and line where there is one")
#define MSG_RUN_PREPARE_FIELDS(F) \
	F(u64, run, "run number in the store") \
	F(str, workload, "job in fio's words: \"rw=randread bs=4k …\", as common/workload.h prints it") \
	F(str, disk, "serial or kernel name of the disk") \
	F(u8, destructive, "1: write even to a disk that is not Bifocal's own scratch disk") \
	F(u64, seed, "seed of the job's random numbers") \
	F(u64, tsc_hz, "guest TSC frequency that the host knows best, 0 if it does not") \
	F(u8, trace, "enum trace_wish: whether and how to trace the guest's kernel in the window") \
	F(u64, trace_memory, "bytes that all trace buffers together may take; 0: the agent computes it")
#define MSG_RUN_READY_FIELDS(F) \
	F(u64, run, "") \
	F(str, disk, "kernel name of the disk in use") \
	F(u64, capacity, "I/O records that fit into the memory reserved") \
	F(u64, memory, "bytes reserved for records") \
	F(u32, device, "the disk's number as the kernel's events give it: major << 20 | minor") \
	F(u64, trace_bytes, "bytes of trace buffer per CPU; 0: nothing is traced") \
	F(u8, trace_live, "1: the buffers are too small for the window and are drained while it is open") \
	F(str, trace_source, "what traces: \"bpf\", or \"tracefs\" and in parentheses why not bpf; empty: nothing does")
#define MSG_RUN_START_FIELDS(F) \
	F(u64, run, "")
#define MSG_RUN_DONE_FIELDS(F) \
	F(u64, run, "") \
	F(u64, window_open, "guest TSC when the first job started, ramp included") \
	F(u64, ramp_end, "guest TSC when ramp_time was over; window_open if there is none") \
	F(u64, window_close, "guest TSC when the last job had reaped its last I/O") \
	F(u64, issued, "I/Os submitted") \
	F(u64, recorded, "I/O records kept") \
	F(u64, dropped, "I/O records that found no memory") \
	F(u64, errors, "I/Os whose result was not their length") \
	F(u64, verified, "blocks read back and checked") \
	F(u64, verify_bad, "blocks whose contents were wrong") \
	F(u32, code, "enum err_code; 0 when the run went as asked") \
	F(str, text, "what went wrong")
#define MSG_RUN_ABORT_FIELDS(F) \
	F(u64, run, "")
#define MSG_IO_CHUNK_FIELDS(F) \
	F(u64, run, "") \
	F(u32, index, "0, 1, 2 … within the run") \
	F(blob, records, "common/iorec.h")
#define MSG_SERIES_FIELDS(F) \
	F(u64, run, "") \
	F(u32, probe, "") \
	F(u32, series, "number that samples use for it; unique within run and side") \
	F(str, metric, "metric's name as the probe declares it, prefixed with the probe's: cpu.busy") \
	F(str, dims, "key=value pairs, sorted by key, comma-separated") \
	F(str, kind, "counter gauge histogram event") \
	F(str, unit, "one of the fixed list")
#define MSG_SAMPLES_FIELDS(F) \
	F(u64, run, "") \
	F(u32, index, "0, 1, 2 … within the run") \
	F(blob, samples, "common/samples.h")
#define MSG_RUN_DRAINED_FIELDS(F) \
	F(u64, run, "") \
	F(u32, io_chunks, "io_chunk messages sent for it") \
	F(u32, sample_chunks, "samples messages sent for it") \
	F(u64, samples_dropped, "probe samples that found no memory") \
	F(u64, trace_pages, "trace pages and trace_sights messages sent for it, all CPUs together")
#define MSG_LOG_FIELDS(F) \
	F(u8, level, "enum log_level") \
	F(str, text, "one line")
#define MSG_ERROR_FIELDS(F) \
	F(u64, run, "the run it is about, 0 if none") \
	F(u32, code, "enum err_code") \
	F(str, text, "what, where and the remedy")
#define MSG_POWEROFF_FIELDS(F)
#define MSG_PROBE_CLEAR_FIELDS(F)
#define MSG_TRACE_EVENT_FIELDS(F) \
	F(u64, run, "") \
	F(u32, id, "its number in the trace records") \
	F(u8, sight, "enum sight_kind: what it is taken for") \
	F(str, name, "\"block:block_rq_issue\"") \
	F(str, format, "tracefs' format file of the event")
#define MSG_TRACE_ABSENT_FIELDS(F) \
	F(u64, run, "") \
	F(u8, sight, "enum sight_kind; 0: all of the guest's kernel") \
	F(str, text, "why, and the remedy")
#define MSG_TRACE_PAGES_FIELDS(F) \
	F(u64, run, "") \
	F(u32, cpu, "") \
	F(u32, index, "0, 1, 2 … within the CPU") \
	F(u32, page_size, "bytes of a page") \
	F(blob, pages, "whole pages as trace_pipe_raw gives them, one after another")
#define MSG_TRACE_END_FIELDS(F) \
	F(u64, run, "") \
	F(u32, cpu, "") \
	F(u64, pages, "pages sent for it, or trace_sights messages") \
	F(u64, overrun, "events overwritten in the buffer, and events dropped because it was full") \
	F(u64, read, "events that were read")
#define MSG_CLOCK_PAIR_FIELDS(F) \
	F(u64, id, "number of this reading")
#define MSG_CLOCK_PAIRED_FIELDS(F) \
	F(u64, id, "as asked") \
	F(u8, ok, "1: the fields below hold; 0: there is no ptp_kvm here") \
	F(u64, before, "guest TSC just before the reading") \
	F(u64, after, "guest TSC just after it") \
	F(i64, host_ns, "the host's CLOCK_REALTIME at some instant between the two")
#define MSG_TRACE_SIGHTS_FIELDS(F) \
	F(u64, run, "") \
	F(u32, cpu, "") \
	F(u32, index, "0, 1, 2 … within the CPU") \
	F(blob, sights, "common/sight.h; stamps are the guest's TSC")

#endif
