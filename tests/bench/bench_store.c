/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store against SQLite on the same I/O records: how fast they go in, and how many bytes they take.
 *
 * Both keep every field of every record and commit after the same number of records. Ours: columns packed,
 * compressed, checksummed, one synced LMDB transaction a batch. SQLite: one row a record through one prepared statement,
 * journal_mode=WAL, synchronous=NORMAL (which syncs only at checkpoints: it promises less than our commit).
 * Rounds alternate, each into a fresh directory under the one given as the argument; medians are compared.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/loop.h"
#include "store/store.h"

enum { ROUNDS = 11, BATCHES = 30, BATCH = IOREC_CHUNK, RECORDS = BATCHES * BATCH, DEPTH = 8 };

/* Order statistics that hold the median of 11 rounds with 98.8 %: the second and the tenth. */
enum { INTERVAL_LOW = 1, INTERVAL_HIGH = ROUNDS - 2 };

#define LIMIT_RATIO 5.0
#define LIMIT_BYTES 12.0

static struct io_record records[RECORDS];

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "bench_store: %s: %s\n", what, why);
	exit(1);
}

/* Cycles of 2.45 GHz: 100 µs to 3.2 ms, each octave as likely as the next. */
static uint64_t latency(void)
{
	return (uint64_t)(245e3 * (1 + drand48())) << (unsigned)(drand48() * 5);
}

/* 4 KiB random reads over 1 GiB, eight in flight, kept in the order in which they come back: what the
 * agent records. */
static void make_records(void)
{
	uint64_t submit[DEPTH], reap[DEPTH];
	for (unsigned i = 0; i < DEPTH; i++) {
		submit[i] = 987654321012345 + i * 2000;
		reap[i] = submit[i] + latency();
	}
	for (size_t i = 0; i < RECORDS; i++) {
		unsigned first = 0;
		for (unsigned k = 1; k < DEPTH; k++)
			first = reap[k] < reap[first] ? k : first;
		records[i] = (struct io_record){
			.submit = submit[first], .reap = reap[first], .intended = submit[first],
			.sector = (uint64_t)(drand48() * 262144) * 8, .length = 4096, .result = 4096,
		};
		submit[first] = reap[first] + 2000 + (uint64_t)(drand48() * 10000);
		reap[first] = submit[first] + latency();
	}
}

/* ---- ours ---- */

static double ingest_ours(const char *path, uint64_t *bytes)
{
	struct error err;
	struct wbuf packed;
	uint64_t run;
	struct store *s = store_open(path, STORE_WRITE, &err);
	struct store_batch *b = s ? store_batch_new(s, &err) : NULL;
	if (!b || store_run_create(s, 0, &run, &err) < 0)
		die("store", err.text);
	wbuf_heap(&packed, IOREC_CHUNK_BYTES);
	uint64_t start = monotonic_ns();
	for (uint32_t i = 0; i < BATCHES; i++) {
		wbuf_reset(&packed);
		iorec_pack(&packed, records + (size_t)i * BATCH, BATCH);
		if (put_io_chunk(b, run, i, (struct span){ packed.p, packed.len }, &err) < 0 || store_commit(b, &err) < 0)
			die("store", err.text);
	}
	double seconds = (double)(monotonic_ns() - start) / 1e9;
	if (store_io_bytes(s, run, bytes, &err) < 0)
		die("store", err.text);
	wbuf_fini(&packed);
	store_batch_free(b);
	store_close(s);
	return RECORDS / seconds;
}

/* ---- SQLite ---- */

static void sql(sqlite3 *db, const char *text)
{
	if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
		die(text, sqlite3_errmsg(db));
}

static void insert(sqlite3 *db, sqlite3_stmt *st, const struct io_record *r)
{
	sqlite3_bind_int64(st, 1, (sqlite3_int64)r->submit);
	sqlite3_bind_int64(st, 2, (sqlite3_int64)r->reap);
	sqlite3_bind_int64(st, 3, (sqlite3_int64)r->intended);
	sqlite3_bind_int64(st, 4, (sqlite3_int64)r->sector);
	sqlite3_bind_int64(st, 5, r->length);
	sqlite3_bind_int64(st, 6, r->result);
	sqlite3_bind_int64(st, 7, r->job);
	sqlite3_bind_int64(st, 8, r->op);
	sqlite3_bind_int64(st, 9, r->flags);
	if (sqlite3_step(st) != SQLITE_DONE || sqlite3_reset(st) != SQLITE_OK)
		die("insert", sqlite3_errmsg(db));
}

static double ingest_sqlite(const char *path, uint64_t *bytes)
{
	sqlite3 *db;
	sqlite3_stmt *st;
	struct stat file;
	if (sqlite3_open(path, &db) != SQLITE_OK)
		die(path, sqlite3_errmsg(db));
	sql(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
		"CREATE TABLE io(submit INTEGER, reap INTEGER, intended INTEGER, sector INTEGER, length INTEGER, result INTEGER,"
		" job INTEGER, op INTEGER, flags INTEGER);");
	if (sqlite3_prepare_v2(db, "INSERT INTO io VALUES(?,?,?,?,?,?,?,?,?)", -1, &st, NULL) != SQLITE_OK)
		die("prepare", sqlite3_errmsg(db));
	uint64_t start = monotonic_ns();
	for (size_t i = 0; i < RECORDS; i++) {
		if (i % BATCH == 0)
			sql(db, "BEGIN");
		insert(db, st, &records[i]);
		if (i % BATCH == BATCH - 1)
			sql(db, "COMMIT");
	}
	double seconds = (double)(monotonic_ns() - start) / 1e9;
	sqlite3_finalize(st);
	if (sqlite3_close(db) != SQLITE_OK)
		die(path, "close failed");
	*bytes = stat(path, &file) == 0 ? (uint64_t)file.st_size : 0;
	return RECORDS / seconds;
}

/* ---- comparing ---- */

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), ascending);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void remove_tree(const char *path)
{
	char command[4200];
	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	if (system(command) != 0)
		die(path, "cannot be removed");
}

int main(int argc, char **argv)
{
	char dir[4096], path[4112];
	double ours[ROUNDS], sqlite[ROUNDS], ratio[ROUNDS];
	uint64_t bytes = 0, sqlite_bytes = 0;
	snprintf(dir, sizeof(dir), "%s/bifocal-bench-XXXXXX", argc > 1 ? argv[1] : "/var/tmp");
	if (!mkdtemp(dir))
		die(dir, "cannot be made");
	make_records();
	for (int i = 0; i < ROUNDS; i++) {
		snprintf(path, sizeof(path), "%s/ours%d", dir, i);
		ours[i] = ingest_ours(path, &bytes);
		remove_tree(path);
		snprintf(path, sizeof(path), "%s/sqlite%d", dir, i);
		sqlite[i] = ingest_sqlite(path, &sqlite_bytes);
		remove_tree(path);
		ratio[i] = ours[i] / sqlite[i];
	}
	remove_tree(dir);
	double per_record = (double)bytes / RECORDS, middle = median(ratio, ROUNDS);
	bool fast = middle >= LIMIT_RATIO, small = per_record <= LIMIT_BYTES;
	printf("bench store.ingest ratio=%.2f [%.2f, %.2f] over %d rounds (ours %.2f M records/s, sqlite %.2f M records/s; limit >= %.0f) %s\n",
	       middle, ratio[INTERVAL_LOW], ratio[INTERVAL_HIGH], ROUNDS, median(ours, ROUNDS) / 1e6, median(sqlite, ROUNDS) / 1e6,
	       LIMIT_RATIO, fast ? "ok" : "BEYOND LIMIT");
	printf("bench store.bytes_per_record value=%.2f bytes (4 KiB random reads, 8 in flight; sqlite %.1f bytes; limit <= %.0f) %s\n",
	       per_record, (double)sqlite_bytes / RECORDS, LIMIT_BYTES, small ? "ok" : "BEYOND LIMIT");
	return fast && small ? 0 : 1;
}
