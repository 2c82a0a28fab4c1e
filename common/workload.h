/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A workload in fio's words. One table gives key, type, default, bounds and help; the struct,
 * the parser, the printer, the manual and the completion of mistyped keys come from it.
 *
 * WL(type, key, default, min, max, help): type is size, duration (ns), uint, or an enum below.
 */
#ifndef BIFOCAL_COMMON_WORKLOAD_H
#define BIFOCAL_COMMON_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define WL_RW(E) E(read) E(write) E(randread) E(randwrite) E(rw) E(randrw)
#define WL_ENGINE(E) E(io_uring) E(libaio) E(psync)
#define WL_PROCESS(E) E(linear) E(poisson)
#define WL_VERIFY(E) E(none) E(crc32c)

#define WL_TABLE(WL) \
	WL(rw, rw, "randread", 0, 0, "direction: read write randread randwrite rw randrw") \
	WL(size, bs, "4k", 512, 1 << 20, "block size of one I/O; a multiple of the disk's logical block") \
	WL(uint, iodepth, "1", 1, 4096, "I/Os kept in flight by each job") \
	WL(uint, numjobs, "1", 1, 1024, "jobs, one thread each, spread over the CPUs") \
	WL(bool, direct, "1", 0, 1, "O_DIRECT: past the guest's page cache") \
	WL(size, size, "0", 0, UINT64_MAX, "bytes of the disk to work on; 0 means all of it") \
	WL(duration, runtime, "2s", 0, 86400000000000, "length of the window after the ramp; 0: until number_ios or size are done") \
	WL(duration, ramp_time, "200ms", 0, 3600000000000, "load before the window that is recorded but not counted") \
	WL(uint, number_ios, "0", 0, UINT64_MAX, "stop after so many I/Os a job; 0: no such limit") \
	WL(uint, rate_iops, "0", 0, 100000000, "open-loop load: I/Os a second and job to start; 0: closed loop") \
	WL(process, rate_process, "linear", 0, 0, "spacing of open-loop I/Os: linear or poisson") \
	WL(engine, ioengine, "io_uring", 0, 0, "how I/O is submitted: io_uring libaio psync") \
	WL(uint, rwmixread, "50", 0, 100, "percentage of reads when rw mixes") \
	WL(uint, fsync, "0", 0, UINT32_MAX, "a flush after every so many writes; 0: none") \
	WL(verify, verify, "none", 0, 0, "crc32c: write checkable blocks and read all of them back after the window")

/* enum wl_rw { WL_RW_read, … }; names are fio's, so they stay lower-case. */
#define E(name) WL_RW_##name,
enum wl_rw { WL_RW(E) WL_RW_COUNT };
#undef E
#define E(name) WL_ENGINE_##name,
enum wl_engine { WL_ENGINE(E) WL_ENGINE_COUNT };
#undef E
#define E(name) WL_PROCESS_##name,
enum wl_process { WL_PROCESS(E) WL_PROCESS_COUNT };
#undef E
#define E(name) WL_VERIFY_##name,
enum wl_verify { WL_VERIFY(E) WL_VERIFY_COUNT };
#undef E

typedef enum wl_rw wl_rw_t;
typedef enum wl_engine wl_engine_t;
typedef enum wl_process wl_process_t;
typedef enum wl_verify wl_verify_t;
typedef uint64_t wl_size_t;
typedef uint64_t wl_duration_t;
typedef uint64_t wl_uint_t;
typedef bool wl_bool_t;

struct workload {
#define WL(type, key, def, min, max, help) wl_##type##_t key;
	WL_TABLE(WL)
#undef WL
};

enum { WORKLOAD_TEXT_MAX = 1024 };

struct workload_key {
	const char *key, *type, *def, *help;
};
/* All keys; the array ends with a NULL key. */
const struct workload_key *workload_keys(void);

void workload_default(struct workload *w);
/* Sets one key from its text. An unknown key, unit or value names the nearest one known. */
int workload_set(struct workload *w, const char *key, const char *value, struct error *err);
/* "rw=randread bs=4k …", blank-separated; starts from the defaults. `text` need not be NUL-terminated. */
int workload_parse(struct workload *w, const char *text, size_t len, struct error *err);
/* Every key in table order, as workload_parse reads it; cap >= WORKLOAD_TEXT_MAX. */
char *workload_print(const struct workload *w, char *dst, size_t cap);
/* The text of one key's value; NULL for an unknown key. */
char *workload_get(const struct workload *w, const char *key, char *dst, size_t cap);
/* What no single key can tell: runtime, number_ios and size all open-ended, verify without writes … */
int workload_check(const struct workload *w, struct error *err);
bool workload_writes(const struct workload *w);

#endif
