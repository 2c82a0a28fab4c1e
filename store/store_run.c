/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rows of the run table: a run's number, status and who writes it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "store/impl.h"

enum { RUN_KEY = 8, RUN_VALUE_MAX = 64, PARTIAL_KEY_MAX = 32 };

const char *run_status_name(enum run_status s)
{
	static const char *const names[] = { "running", "complete", "partial", "failed" };
	return s <= RUN_FAILED ? names[s] : "unknown";
}

/* ---- who writes ---- */

/* Field 22 of /proc/PID/stat, in clock ticks since boot; 0 when no such process runs: one that is
 * only waiting to be reaped writes nothing any more. The name before the fields, in parentheses,
 * may hold anything, parentheses too. */
static uint64_t start_time(uint32_t pid)
{
	char path[64], line[1024], state;
	unsigned long long start;
	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	autofclose FILE *f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		return 0;
	const char *p = strrchr(line, ')');
	if (!p || sscanf(p + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
			 &state, &start) != 2)
		return 0;
	return state == 'Z' || state == 'X' ? 0 : start;
}

static struct id16 this_boot(void)
{
	struct id16 id = { { 0 } };
	autofclose FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	for (size_t i = 0; f && i < sizeof(id.b); i++) {
		unsigned byte;
		if (fscanf(f, "%2x%*[-]", &byte) != 1)
			break;
		id.b[i] = (uint8_t)byte;
	}
	return id;
}

static struct writer_id this_writer(void)
{
	uint32_t pid = (uint32_t)getpid();
	return (struct writer_id){ .pid = pid, .start = start_time(pid), .boot = this_boot() };
}

static bool alive(const struct writer_id *w, const struct id16 *boot)
{
	return memcmp(&w->boot, boot, sizeof(*boot)) == 0 && w->start && start_time(w->pid) == w->start;
}

/* ---- a row ---- */

static void pack_key(struct wbuf *w, uint8_t mem[RUN_KEY], uint64_t run)
{
	wbuf_fixed(w, mem, RUN_KEY);
	key_u64(w, run);
}

static void pack_row(struct wbuf *w, struct span key, const struct run_row *row)
{
	uint8_t mem[RUN_VALUE_MAX];
	struct wbuf plain;
	wbuf_fixed(&plain, mem, sizeof(mem));
	put_u8(&plain, (uint8_t)row->run.status);
	put_u64(&plain, row->run.created_ns);
	put_u64(&plain, row->run.study);
	put_u32(&plain, row->writer.pid);
	put_u64(&plain, row->writer.start);
	put_bytes(&plain, row->writer.boot.b, sizeof(row->writer.boot.b));
	seal(w, key, span_of_wbuf(&plain));
}

int run_unpack(struct span key, struct span value, struct run_row *row, struct error *err)
{
	struct span plain;
	struct rbuf k, in;
	rbuf_init(&k, key.p, key.len);
	row->run.run = getkey_u64(&k);
	if (!rbuf_done(&k))
		return error_set(err, ERR_CORRUPT, "run: a key of %zu bytes", key.len);
	if (unseal(key, value, &plain, err) < 0)
		return error_prefix(err, "run %llu", (unsigned long long)row->run.run);
	rbuf_init(&in, plain.p, plain.len);
	uint8_t status = get_u8(&in);
	row->run.status = (enum run_status)status;
	row->run.created_ns = get_u64(&in);
	row->run.study = get_u64(&in);
	row->writer.pid = get_u32(&in);
	row->writer.start = get_u64(&in);
	struct span boot = get_bytes(&in, sizeof(row->writer.boot.b));
	if (!rbuf_done(&in) || status > RUN_FAILED)
		return error_set(err, ERR_CORRUPT, "run %llu: damaged row", (unsigned long long)row->run.run);
	memcpy(row->writer.boot.b, boot.p, boot.len);
	return 0;
}

static int put_row(struct store *s, MDB_txn *txn, const struct run_row *row)
{
	uint8_t key_mem[RUN_KEY], mem[RUN_VALUE_MAX];
	struct wbuf key, w;
	pack_key(&key, key_mem, row->run.run);
	wbuf_fixed(&w, mem, sizeof(mem));
	pack_row(&w, span_of_wbuf(&key), row);
	return mdb_put(txn, s->dbi[TABLE_RUN], &(MDB_val){ key.len, key.p }, &(MDB_val){ w.len, w.p }, 0);
}

int run_set_status(struct store *s, MDB_txn *txn, uint64_t run, enum run_status status, struct error *err)
{
	uint8_t key_mem[RUN_KEY];
	struct wbuf key;
	struct run_row row;
	MDB_val value;
	pack_key(&key, key_mem, run);
	int rc = mdb_get(txn, s->dbi[TABLE_RUN], &(MDB_val){ key.len, key.p }, &value);
	if (rc == MDB_NOTFOUND) {
		error_set(err, ERR_NOT_FOUND, "database %s: there is no run %llu", s->path, (unsigned long long)run);
		return BODY_FAILED;
	}
	if (rc)
		return rc;
	if (run_unpack(span_of_wbuf(&key), span_of_val(value), &row, err) < 0)
		return BODY_FAILED;
	row.run.status = status;
	return put_row(s, txn, &row);
}

/* ---- a new run ---- */

static int last_run(struct store *s, MDB_txn *txn, uint64_t *run)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	struct rbuf k;
	*run = 0;
	int rc = mdb_cursor_open(txn, s->dbi[TABLE_RUN], &cursor);
	if (rc)
		return rc;
	rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
	mdb_cursor_close(cursor);
	if (rc)
		return rc == MDB_NOTFOUND ? 0 : rc;
	rbuf_init(&k, key.mv_data, key.mv_size);
	*run = getkey_u64(&k);
	return rbuf_done(&k) ? 0 : MDB_CORRUPTED;
}

static int create_body(struct store *s, MDB_txn *txn, void *ctx, struct error *err)
{
	struct run_row *row = ctx;
	uint64_t last;
	int rc = last_run(s, txn, &last);
	if (rc)
		return rc;
	/* UINT64_MAX means "the last one" to store_get_run(). */
	if (last >= UINT64_MAX - 1) {
		error_set(err, ERR_LIMIT, "database %s: no run number is left", s->path);
		return BODY_FAILED;
	}
	struct run_row numbered = *row;
	numbered.run.run = last + 1;
	if (!numbered.run.study)
		numbered.run.study = last + 1;
	rc = put_row(s, txn, &numbered);
	row->run.run = numbered.run.run;
	return rc;
}

int store_run_create(struct store *s, uint64_t study, uint64_t *run, struct error *err)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	struct run_row row = {
		.run = { .study = study, .status = RUN_RUNNING,
			 .created_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec },
		.writer = this_writer(),
	};
	if (store_write(s, create_body, &row, err) < 0)
		return -1;
	*run = row.run.run;
	return 0;
}

/* ---- runs whose writer died ---- */

/* As put_attr() would write lost.collector = 1. */
static int put_lost_collector(struct store *s, MDB_txn *txn, uint64_t run)
{
	uint8_t key_mem[PARTIAL_KEY_MAX], mem[16];
	struct wbuf key, w;
	struct span name = span_of("lost.collector");
	wbuf_fixed(&key, key_mem, sizeof(key_mem));
	key_u64(&key, run);
	put_bytes(&key, name.p, name.len);
	wbuf_fixed(&w, mem, sizeof(mem));
	seal(&w, span_of_wbuf(&key), span_of("1"));
	return mdb_put(txn, s->dbi[TABLE_ATTR], &(MDB_val){ key.len, key.p }, &(MDB_val){ w.len, w.p }, 0);
}

struct recover {
	struct id16 boot;
	int marked;
};

static int recover_row(struct store *s, MDB_txn *txn, MDB_val key, MDB_val value, struct recover *r, struct error *err)
{
	struct run_row row;
	/* A damaged row is for `db check` to tell; the others still need their status. */
	if (run_unpack(span_of_val(key), span_of_val(value), &row, NULL) < 0)
		return 0;
	if (row.run.status != RUN_RUNNING || alive(&row.writer, &r->boot))
		return 0;
	int rc = run_set_status(s, txn, row.run.run, RUN_PARTIAL, err);
	rc = rc ? rc : put_lost_collector(s, txn, row.run.run);
	r->marked += !rc;
	return rc;
}

static int recover_body(struct store *s, MDB_txn *txn, void *ctx, struct error *err)
{
	struct recover *r = ctx;
	MDB_cursor *cursor;
	MDB_val key, value;
	r->marked = 0;
	int rc = mdb_cursor_open(txn, s->dbi[TABLE_RUN], &cursor);
	if (rc)
		return rc;
	for (rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST); !rc; rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		int r2 = recover_row(s, txn, key, value, r, err);
		if (r2) {
			rc = r2;
			break;
		}
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int store_recover(struct store *s, struct error *err)
{
	struct recover r = { .boot = this_boot() };
	return store_write(s, recover_body, &r, err) < 0 ? -1 : r.marked;
}
