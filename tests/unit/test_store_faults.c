/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a database has to bear: damage, a full disk, killed writers, other versions, company. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/impl.h"

enum { CHUNKS = 12, CHUNK = 2000 };

struct world {
	char dir[64], db[80], file[96];
	struct error err;
};

static void put_io(struct store_batch *b, uint64_t run, uint32_t index, unsigned seed)
{
	static struct io_record r[CHUNK];
	struct error err;
	struct wbuf packed;
	uint64_t t = index * 1000000007ull;
	for (size_t i = 0; i < CHUNK; i++) {
		t += 1000 + (uint64_t)rand_r(&seed) % 5000000;
		r[i] = (struct io_record){ .submit = t, .reap = t + 300000 + (uint64_t)rand_r(&seed) % 3000000, .intended = t,
					   .sector = (uint64_t)rand_r(&seed) % 262144 * 8, .length = 4096, .result = 4096 };
	}
	wbuf_heap(&packed, IOREC_CHUNK_BYTES);
	iorec_pack(&packed, r, CHUNK);
	if (put_io_chunk(b, run, index, (struct span){ packed.p, packed.len }, &err) < 0)
		fail_msg("%s", err.text);
	wbuf_fini(&packed);
}

static struct store *open_or_fail(struct world *w, enum store_mode mode)
{
	struct store *s = store_open_sized(w->db, mode, 1 << 20, &w->err);
	if (!s)
		fail_msg("%s", w->err.text);
	return s;
}

/* A database with a little of everything. */
static void fill(struct world *w)
{
	struct store *s = open_or_fail(w, STORE_WRITE);
	struct store_batch *b = store_batch_new(s, &w->err);
	struct clock_sample clock[50] = { { .host_tsc = 1, .lo = -5, .hi = 5, .tier = 5 } };
	struct store_epoch epoch = { .tier = 5, .lo = -5, .hi = 5, .samples = 50 };
	struct sample sample = { 1, 2, 3.5 };
	uint64_t run;
	uint8_t mem[64];
	struct wbuf packed;
	wbuf_fixed(&packed, mem, sizeof(mem));
	samples_pack(&packed, &sample, 1);
	for (int k = 0; k < 3; k++) {
		assert_int_equal(store_run_create(s, 0, &run, &w->err), 0);
		for (uint32_t i = 0; i < CHUNKS; i++) {
			put_io(b, run, i, i + 1);
			if (i % 4 == 3)
				assert_int_equal(store_commit(b, &w->err), 0);
		}
		for (int i = 0; i < 60; i++) {
			char key[32];
			snprintf(key, sizeof(key), "config.key.%d", i);
			assert_int_equal(put_attr(b, run, key, "a value of middling length, as values are", &w->err), 0);
		}
		put_series(b, run, SIDE_GUEST, 1, "cpu.busy", "cpu=0", "gauge", "percent", &w->err);
		put_sample_chunk(b, run, SIDE_GUEST, 0, (struct span){ packed.p, packed.len }, &w->err);
		put_clock_chunk(b, run, 0, clock, 50, &w->err);
		put_epoch(b, run, &epoch, &w->err);
		put_run_status(b, run, RUN_COMPLETE, &w->err);
		assert_int_equal(store_commit(b, &w->err), 0);
	}
	store_batch_free(b);
	store_close(s);
}

static void limit_file_size(rlim_t bytes)
{
	struct rlimit limit = { bytes, RLIM_INFINITY };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void lift_limit(struct world *w)
{
	(void)w;
	limit_file_size(RLIM_INFINITY);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	snprintf(w->dir, sizeof(w->dir), "/tmp/bifocal-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->db, sizeof(w->db), "%s/db", w->dir);
	snprintf(w->file, sizeof(w->file), "%s/data.mdb", w->db);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char command[128];
	/* What a failed test left behind. */
	lift_limit(w);
	umount2(w->db, MNT_DETACH);
	snprintf(command, sizeof(command), "rm -rf %s", w->dir);
	int r = system(command);
	free(w);
	return r;
}

static uint8_t *slurp(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	*n = (size_t)ftell(f);
	rewind(f);
	uint8_t *p = malloc(*n);
	assert_int_equal(fread(p, 1, *n, f), *n);
	fclose(f);
	return p;
}

static void spill(const char *path, const uint8_t *p, size_t n)
{
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	fclose(f);
}

/* Runs fn in a child, so that a crash of the library under test is a failure and not the end of the test.
 * Returns its exit code. */
static int in_child(int (*fn)(struct world *w), struct world *w)
{
	int status;
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* cmocka's own handlers would run the rest of the tests in the child. */
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		_exit(fn(w));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		fail_msg("killed by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

static int nothing_io(void *ctx, const struct io_record *r, size_t n)
{
	(void)ctx;
	(void)r;
	(void)n;
	return 0;
}

static int nothing_attr(void *ctx, const char *key, const char *text)
{
	(void)ctx;
	(void)key;
	(void)text;
	return 0;
}

/* 0: opened and found whole; 1: opened, damage found in values; 2: refused when opened, as it should be;
 * 3: refused with another code. */
static int use(struct world *w)
{
	struct store_check c;
	struct error err;
	struct store *s = store_open_sized(w->db, STORE_WRITE, 1 << 20, &w->err);
	if (!s)
		return w->err.code == ERR_CORRUPT || w->err.code == ERR_VERSION ? 2 : 3;
	int r = store_check(s, &c, NULL, NULL, &w->err) < 0 || c.damaged ? 1 : 0;
	for (uint64_t run = 1; run <= 3; run++) {
		store_each_io(s, run, nothing_io, NULL, &err);
		store_each_attr(s, run, "", nothing_attr, NULL, &err);
	}
	struct store_batch *b = store_batch_new(s, &err);
	for (uint32_t i = 0; i < 10; i++)
		put_io(b, 2, 100 + i, i);
	store_commit(b, &err);
	store_recover(s, &err);
	store_batch_free(b);
	store_close(s);
	return r;
}

static void truncated_files_are_refused(void **state)
{
	struct world *w = *state;
	size_t n;
	fill(w);
	uint8_t *whole = slurp(w->file, &n);
	assert_int_equal(in_child(use, w), 0);
	int refused = 0, tries = 0;
	for (size_t keep = 1; keep < n; keep += keep < 20000 ? 1500 : 9000, tries++) {
		spill(w->file, whole, keep);
		int r = in_child(use, w);
		assert_int_not_equal(r, 1);
		assert_int_not_equal(r, 3);
		refused += r == 2;
	}
	/* What is cut off may be pages that are free; not so nearly everything. */
	assert_true(refused > tries / 2);
	free(whole);
}

static void garbage_is_refused(void **state)
{
	struct world *w = *state;
	size_t n;
	fill(w);
	uint8_t *junk = slurp(w->file, &n);
	for (size_t i = 0; i < n; i++)
		junk[i] = (uint8_t)rand();
	spill(w->file, junk, n);
	assert_null(store_open(w->db, STORE_READ, &w->err));
	assert_int_equal(w->err.code, ERR_CORRUPT);
	assert_non_null(strstr(w->err.text, w->db));
	spill(w->file, (const uint8_t *)"hello", 5);
	assert_null(store_open(w->db, STORE_WRITE, &w->err));
	assert_int_equal(w->err.code, ERR_CORRUPT);
	free(junk);
}

static void damage_anywhere_never_crashes(void **state)
{
	struct world *w = *state;
	size_t n;
	unsigned seed = 7;
	int result[4] = { 0 };
	fill(w);
	uint8_t *whole = slurp(w->file, &n), *bad = malloc(n);
	for (int i = 0; i < 150; i++) {
		memcpy(bad, whole, n);
		/* Half of them in the heads of pages, where structure is. */
		for (int k = 0; k < 4; k++) {
			size_t at = (size_t)rand_r(&seed) % n;
			if (i % 2)
				at = at / 4096 * 4096 + (size_t)rand_r(&seed) % 64;
			if (at < n)
				bad[at] ^= (uint8_t)(1 + rand_r(&seed) % 255);
		}
		spill(w->file, bad, n);
		result[in_child(use, w)]++;
	}
	assert_int_equal(result[3], 0);
	assert_true(result[1] > 10);
	assert_true(result[2] > 10);
	free(whole);
	free(bad);
}

static void note_line(void *ctx, const char *line)
{
	snprintf(ctx, 256, "%s", line);
}

static void flipped_values_are_found(void **state)
{
	struct world *w = *state;
	size_t n;
	struct store_check c;
	char line[256] = "";
	fill(w);
	uint8_t *whole = slurp(w->file, &n);
	/* The text stands in three runs' attributes, and maybe in old pages: change it everywhere. */
	static const char text[] = "a value of middling length";
	int hits = 0;
	for (size_t i = 0; i + sizeof(text) < n; i++)
		if (memcmp(whole + i, text, sizeof(text) - 1) == 0 && ++hits)
			whole[i] = 'A';
	assert_true(hits >= 180);
	spill(w->file, whole, n);
	struct store *s = open_or_fail(w, STORE_READ);
	assert_int_equal(store_check(s, &c, note_line, line, &w->err), 0);
	assert_int_equal(c.damaged, 180);
	assert_int_equal(c.runs, 3);
	assert_non_null(strstr(line, "attr 3 config.key."));
	assert_non_null(strstr(line, "checksum"));
	assert_null(store_attr(s, 1, "config.key.7", &w->err));
	assert_int_equal(w->err.code, ERR_CORRUPT);
	assert_int_equal(store_each_attr(s, 1, "config", nothing_attr, NULL, &w->err), -1);
	assert_int_equal(w->err.code, ERR_CORRUPT);
	assert_non_null(strstr(w->err.text, "config.key."));
	store_close(s);
	free(whole);
}

static int put_raw(struct store *s, MDB_txn *txn, void *ctx, struct error *err)
{
	struct span *kv = ctx;
	uint8_t mem[64];
	struct wbuf v;
	(void)err;
	wbuf_fixed(&v, mem, sizeof(mem));
	seal(&v, kv[0], kv[1]);
	MDB_val key = val_of(kv[0]), value = { v.len, v.p };
	return mdb_put(txn, s->dbi[TABLE_META], &key, &value, 0);
}

static void newer_scheme_is_refused(void **state)
{
	struct world *w = *state;
	struct span scheme[2] = { span_of("scheme"), span_of("3") }, version[2] = { span_of("version"), span_of("9.9.9") };
	struct store *s = open_or_fail(w, STORE_WRITE);
	assert_int_equal(store_write(s, put_raw, scheme, &w->err), 0);
	assert_int_equal(store_write(s, put_raw, version, &w->err), 0);
	store_close(s);
	for (int mode = STORE_READ; mode <= STORE_WRITE; mode++) {
		assert_null(store_open(w->db, (enum store_mode)mode, &w->err));
		assert_int_equal(w->err.code, ERR_VERSION);
		assert_non_null(strstr(w->err.text, "scheme 3, written by bifocal 9.9.9"));
		assert_non_null(strstr(w->err.text, "scheme 2; install the newer one"));
	}
}

static int back_to_scheme_1(struct store *s, MDB_txn *txn, void *ctx, struct error *err)
{
	struct span scheme[2] = { span_of("scheme"), span_of("1") };
	(void)ctx;
	for (enum store_table t = TABLE_SCHEME_2; t < TABLES; t++)
		if (mdb_drop(txn, s->dbi[t], 1))
			return BODY_FAILED;
	return put_raw(s, txn, scheme, err);
}

static int count_stream(void *ctx, const struct store_stream *st)
{
	(void)st;
	++*(int *)ctx;
	return 0;
}

/* What an older bifocal wrote is read as it is, and taken on by the first who writes. */
static void scheme_1_is_taken_on(void **state)
{
	struct world *w = *state;
	struct sighting sight;
	struct store_check check;
	struct store_stream stream = { .stream = 7, .vantage = VANTAGE_GUEST, .clock = STREAM_GUEST_TSC, .source = "tracefs" };
	uint64_t run;
	int streams = 0;
	struct store *s = open_or_fail(w, STORE_WRITE);
	assert_int_equal(store_run_create(s, 0, &run, &w->err), 0);
	assert_int_equal(store_write(s, back_to_scheme_1, NULL, &w->err), 0);
	store_close(s);
	s = open_or_fail(w, STORE_READ);
	assert_int_equal(store_each_stream(s, run, count_stream, &streams, &w->err), 0);
	assert_int_equal(store_sight_chunk(s, run, 7, 0, &sight, 1, &w->err), 0);
	assert_int_equal(store_check(s, &check, NULL, NULL, &w->err), 0);
	assert_int_equal(check.damaged, 0);
	store_close(s);
	s = open_or_fail(w, STORE_WRITE);
	struct store_batch *b = store_batch_new(s, &w->err);
	assert_int_equal(put_stream(b, run, &stream, &w->err), 0);
	assert_int_equal(store_commit(b, &w->err), 0);
	store_batch_free(b);
	assert_int_equal(store_each_stream(s, run, count_stream, &streams, &w->err), 0);
	assert_int_equal(streams, 1);
	store_close(s);
	store_close(open_or_fail(w, STORE_READ));
}

static void other_databases_are_refused(void **state)
{
	struct world *w = *state;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	mkdir(w->db, 0700);
	mdb_env_create(&env);
	mdb_env_set_maxdbs(env, 2);
	assert_int_equal(mdb_env_open(env, w->db, 0, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, "mail", MDB_CREATE, &dbi), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	assert_null(store_open(w->db, STORE_WRITE, &w->err));
	assert_int_equal(w->err.code, ERR_CORRUPT);
	assert_non_null(strstr(w->err.text, "not one of Bifocal's"));
}

static void missing_ones_are_named(void **state)
{
	struct world *w = *state;
	assert_null(store_open(w->db, STORE_READ, &w->err));
	assert_int_equal(w->err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(w->err.text, w->db));
	mkdir(w->db, 0700);
	assert_null(store_open(w->db, STORE_READ, &w->err));
	assert_int_equal(w->err.code, ERR_NOT_FOUND);
	/* A collector killed while it made the file. */
	spill(w->file, (const uint8_t *)"", 0);
	assert_null(store_open(w->db, STORE_READ, &w->err));
	assert_int_equal(w->err.code, ERR_NOT_FOUND);
	store_close(open_or_fail(w, STORE_WRITE));
	store_close(open_or_fail(w, STORE_READ));
	assert_null(store_open(w->file, STORE_WRITE, &w->err));
	assert_non_null(strstr(w->err.text, "directory"));
}

static void readers_do_not_write(void **state)
{
	struct world *w = *state;
	uint64_t run;
	fill(w);
	struct store *s = open_or_fail(w, STORE_READ);
	assert_int_equal(store_run_create(s, 0, &run, &w->err), -1);
	assert_int_equal(w->err.code, ERR_REFUSED);
	store_close(s);
}

/* ---- a full disk ---- */

/* Fills the database until it has no room, then expects what was committed, and, after `more_room`, the rest. */
static void run_out_of_room(struct world *w, void (*more_room)(struct world *w))
{
	struct store *s = open_or_fail(w, STORE_WRITE);
	struct store_batch *b = store_batch_new(s, &w->err);
	uint64_t run, bytes, before;
	uint32_t n = 0;
	assert_int_equal(store_run_create(s, 0, &run, &w->err), 0);
	do {
		assert_int_equal(store_io_bytes(s, run, &before, &w->err), 0);
		for (int i = 0; i < 10; i++, n++)
			put_io(b, run, n, n);
		assert_true(n < 2000);
	} while (store_commit(b, &w->err) == 0);
	assert_int_equal(w->err.code, ERR_NO_SPACE);
	assert_non_null(strstr(w->err.text, w->db));
	assert_non_null(strstr(w->err.text, "--db"));
	assert_true(store_batch_size(b) > 0);
	assert_true(n > 10);
	assert_int_equal(store_io_bytes(s, run, &bytes, &w->err), 0);
	assert_int_equal(bytes, before);
	assert_int_equal(store_commit(b, &w->err), -1);
	more_room(w);
	if (store_commit(b, &w->err) < 0)
		fail_msg("%s", w->err.text);
	assert_int_equal(store_io_bytes(s, run, &bytes, &w->err), 0);
	assert_true(bytes > before);
	struct store_check c;
	assert_int_equal(store_check(s, &c, NULL, NULL, &w->err), 0);
	assert_int_equal(c.damaged, 0);
	store_batch_free(b);
	store_close(s);
}

static void file_size_limit_loses_nothing(void **state)
{
	signal(SIGXFSZ, SIG_IGN);
	limit_file_size(1 << 20);
	run_out_of_room(*state, lift_limit);
}

static void enlarge(struct world *w)
{
	assert_int_equal(mount(NULL, w->db, NULL, MS_REMOUNT, "size=64m"), 0);
}

static void full_disk_loses_nothing(void **state)
{
	struct world *w = *state;
	mkdir(w->db, 0700);
	/* Nobody but root may mount. */
	if (mount("tmpfs", w->db, "tmpfs", 0, "size=1m") < 0)
		skip();
	run_out_of_room(w, enlarge);
	assert_int_equal(umount(w->db), 0);
}

/* LMDB's lock file is mapped: without blocks behind it, its first touch would be a SIGBUS. */
static void full_disk_takes_no_new_database(void **state)
{
	struct world *w = *state;
	char path[sizeof(w->db) + 8];
	static const char block[4096];
	mkdir(w->db, 0700);
	if (mount("tmpfs", w->db, "tmpfs", 0, "size=64k") < 0)
		skip();
	snprintf(path, sizeof(path), "%s/fill", w->db);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	while (write(fd, block, sizeof(block)) > 0)
		;
	close(fd);
	assert_null(store_open(w->db, STORE_WRITE, &w->err));
	assert_int_equal(w->err.code, ERR_NO_SPACE);
	assert_non_null(strstr(w->err.text, "--db"));
	/* With room again it works. */
	enlarge(w);
	struct store *s = open_or_fail(w, STORE_WRITE);
	store_close(s);
	assert_int_equal(umount(w->db), 0);
}

/* ---- killed writers and company ---- */

static void killed_writer_leaves_what_it_committed(void **state)
{
	struct world *w = *state;
	for (int round = 0; round < 6; round++) {
		int told[2], status;
		assert_int_equal(pipe(told), 0);
		pid_t pid = fork();
		if (pid == 0) {
			struct store *s = open_or_fail(w, STORE_WRITE);
			struct store_batch *b = store_batch_new(s, &w->err);
			uint64_t run;
			if (store_run_create(s, 0, &run, &w->err) < 0)
				_exit(1);
			for (uint32_t i = 0;; i++) {
				put_io(b, run, i, i);
				if (store_commit(b, &w->err) < 0 || write(told[1], &i, sizeof(i)) < 0)
					_exit(1);
			}
		}
		close(told[1]);
		uint32_t i, last = 0;
		for (int k = 0; k < 5 + round * 7; k++)
			assert_int_equal(read(told[0], &last, sizeof(last)), sizeof(last));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		while (read(told[0], &i, sizeof(i)) == sizeof(i))
			last = i;
		close(told[0]);

		struct store *s = open_or_fail(w, STORE_WRITE);
		struct store_check c;
		struct store_run r;
		assert_int_equal(store_get_run(s, UINT64_MAX, &r, &w->err), 0);
		assert_int_equal(r.run, round + 1);
		assert_int_equal(r.status, RUN_RUNNING);
		assert_int_equal(store_recover(s, &w->err), 1);
		assert_int_equal(store_get_run(s, UINT64_MAX, &r, &w->err), 0);
		assert_int_equal(r.status, RUN_PARTIAL);
		char *lost = store_attr(s, r.run, "lost.collector", &w->err);
		assert_string_equal(lost, "1");
		free(lost);
		assert_int_equal(store_recover(s, &w->err), 0);
		uint64_t bytes;
		assert_int_equal(store_io_bytes(s, r.run, &bytes, &w->err), 0);
		assert_true(bytes > (uint64_t)(last + 1) * CHUNK * 6);
		assert_int_equal(store_check(s, &c, NULL, NULL, &w->err), 0);
		assert_int_equal(c.damaged, 0);
		store_close(s);
	}
}

static int alter_writer(struct store *s, MDB_txn *txn, void *ctx, struct error *err)
{
	/* Behind status, created and study stand pid, start time and boot id. */
	uint8_t mem[128], key_mem[8];
	struct wbuf key, w;
	struct span plain;
	MDB_val value;
	wbuf_fixed(&key, key_mem, sizeof(key_mem));
	key_u64(&key, 1);
	MDB_val k = { key.len, key.p };
	int rc = mdb_get(txn, s->dbi[TABLE_RUN], &k, &value);
	if (rc || unseal(span_of_wbuf(&key), span_of_val(value), &plain, err) < 0)
		return rc ? rc : BODY_FAILED;
	uint8_t copy[64];
	memcpy(copy, plain.p, plain.len);
	copy[*(size_t *)ctx] ^= 1;
	wbuf_fixed(&w, mem, sizeof(mem));
	seal(&w, span_of_wbuf(&key), (struct span){ copy, plain.len });
	value = (MDB_val){ w.len, w.p };
	return mdb_put(txn, s->dbi[TABLE_RUN], &k, &value, 0);
}

static void living_writers_are_let_be(void **state)
{
	struct world *w = *state;
	uint64_t run;
	struct store *s = open_or_fail(w, STORE_WRITE);
	assert_int_equal(store_run_create(s, 0, &run, &w->err), 0);
	assert_int_equal(store_recover(s, &w->err), 0);
	/* The pid is in use, but by another process since, or since another boot. */
	for (size_t at = 17 + 4; at <= 17 + 4 + 8; at += 8) {
		assert_int_equal(store_write(s, alter_writer, &at, &w->err), 0);
		assert_int_equal(store_recover(s, &w->err), 1);
		assert_int_equal(store_recover(s, &w->err), 0);
		struct store_batch *b = store_batch_new(s, &w->err);
		assert_int_equal(store_write(s, alter_writer, &at, &w->err), 0);
		assert_int_equal(put_run_status(b, 1, RUN_RUNNING, &w->err), 0);
		assert_int_equal(store_commit(b, &w->err), 0);
		assert_int_equal(store_recover(s, &w->err), 0);
		store_batch_free(b);
	}
	store_close(s);
}

enum { EACH = 25 };

static int make_runs(struct world *w)
{
	struct store *s = store_open_sized(w->db, STORE_WRITE, 256 << 10, &w->err);
	struct store_batch *b = s ? store_batch_new(s, &w->err) : NULL;
	for (int i = 0; b && i < EACH; i++) {
		uint64_t run;
		if (store_run_create(s, 0, &run, &w->err) < 0)
			return 1;
		put_io(b, run, 0, (unsigned)i);
		if (store_commit(b, &w->err) < 0)
			return 1;
	}
	store_batch_free(b);
	store_close(s);
	return !b;
}

static int count_run(void *ctx, const struct store_run *r)
{
	uint64_t *n = ctx;
	return r->run == ++*n ? 0 : 1;
}

/* Three processes make runs at once, and grow each other's maps; a fourth reads all the time. */
static void writers_and_readers_keep_company(void **state)
{
	struct world *w = *state;
	pid_t pids[3];
	store_close(open_or_fail(w, STORE_WRITE));
	for (int i = 0; i < 3; i++)
		if ((pids[i] = fork()) == 0)
			_exit(make_runs(w));
	struct store *s = store_open_sized(w->db, STORE_READ, 256 << 10, &w->err);
	assert_non_null(s);
	uint64_t seen = 0, last = 0;
	for (int running = 3; running;) {
		seen = 0;
		if (store_each_run(s, count_run, &seen, &w->err) != 0)
			fail_msg("%s", w->err.text);
		assert_true(seen >= last);
		last = seen;
		uint64_t bytes;
		for (uint64_t run = 1; run <= seen; run++)
			assert_int_equal(store_io_bytes(s, run, &bytes, &w->err), 0);
		for (int i = 0; i < 3; i++) {
			int status;
			if (pids[i] && waitpid(pids[i], &status, WNOHANG) == pids[i]) {
				assert_int_equal(status, 0);
				pids[i] = 0;
				running--;
			}
		}
	}
	seen = 0;
	assert_int_equal(store_each_run(s, count_run, &seen, &w->err), 0);
	assert_int_equal(seen, 3 * EACH);
	struct store_check c;
	assert_int_equal(store_check(s, &c, NULL, NULL, &w->err), 0);
	assert_int_equal(c.damaged, 0);
	assert_int_equal(c.values, 3 + 2 * 3 * EACH);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(truncated_files_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(garbage_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(damage_anywhere_never_crashes, setup, teardown),
		cmocka_unit_test_setup_teardown(flipped_values_are_found, setup, teardown),
		cmocka_unit_test_setup_teardown(newer_scheme_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(scheme_1_is_taken_on, setup, teardown),
		cmocka_unit_test_setup_teardown(other_databases_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(missing_ones_are_named, setup, teardown),
		cmocka_unit_test_setup_teardown(readers_do_not_write, setup, teardown),
		cmocka_unit_test_setup_teardown(file_size_limit_loses_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(full_disk_loses_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(full_disk_takes_no_new_database, setup, teardown),
		cmocka_unit_test_setup_teardown(killed_writer_leaves_what_it_committed, setup, teardown),
		cmocka_unit_test_setup_teardown(living_writers_are_let_be, setup, teardown),
		cmocka_unit_test_setup_teardown(writers_and_readers_keep_company, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
