/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The environment: opening, the scheme, transactions, the growing map. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/units.h"
#include "common/version.h"
#include "store/impl.h"

enum {
	/* Address space, not disk: small enough for a test machine, doubled when it is full. */
	FIRST_MAP = 16 << 20,
	/* LMDB takes a few pages beyond the values themselves. */
	DISK_HEADROOM = 1 << 20,
	/* Others may grow the map or commit at the same moment; each try follows a change. */
	WRITE_TRIES = 64,
	/* lock.mdb: 128 bytes, and 64 for each of LMDB's 126 readers. */
	LOCK_BYTES = 8192,
};

const char *table_name(enum store_table t)
{
	static const char *const names[] = {
#define T(NAME, name) #name,
		STORE_TABLES(T)
#undef T
	};
	return names[t];
}

const char *store_path(const struct store *s)
{
	return s->path;
}

/* ---- errors ---- */

static uint64_t disk_free(const char *path)
{
	struct statvfs v;
	return statvfs(path, &v) < 0 ? UINT64_MAX : (uint64_t)v.f_bavail * v.f_frsize;
}

/* A write that the disk cut short reaches us as EIO; so does one over the file size limit. */
static bool out_of_room(const struct store *s, int rc)
{
	if (rc == ENOSPC || rc == EDQUOT || rc == EFBIG)
		return true;
	if (rc != EIO)
		return false;
	struct rlimit limit;
	bool limited = getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
	return limited || disk_free(s->path) < DISK_HEADROOM;
}

static int no_room(const struct store *s, int rc, const char *what, struct error *err)
{
	char room[32];
	uint64_t left = disk_free(s->path) >> 10 << 10;
	return error_set(err, ERR_NO_SPACE, "database %s: %s: no room on the disk (%s; %s free); free some, or take another disk "
			 "with --db PATH. What was committed before is safe", s->path, what, strerror(rc),
			 format_size(left, room, sizeof(room)));
}

int store_error(const struct store *s, int rc, const char *what, struct error *err)
{
	if (rc == BODY_FAILED)
		return -1;
	if (out_of_room(s, rc))
		return no_room(s, rc, what, err);
	switch (rc) {
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
		return error_set(err, ERR_CORRUPT, "database %s: %s: damaged (%s); move it away, or take another with --db PATH",
				 s->path, what, mdb_strerror(rc));
	case MDB_VERSION_MISMATCH:
		return error_set(err, ERR_VERSION, "database %s: %s: in use by, or written by, another LMDB version; "
				 "open it with the bifocal that made it, or take another with --db PATH", s->path, what);
	case MDB_READERS_FULL:
		return error_set(err, ERR_LIMIT, "database %s: %s: too many processes read it; stop some", s->path, what);
	}
	if (rc == EROFS || rc == EACCES)
		return error_sys(err, rc, "database %s: %s: cannot write there; take another with --db PATH", s->path, what);
	if (rc > 0)
		return error_sys(err, rc, "database %s: %s", s->path, what);
	return error_set(err, ERR_FAILED, "database %s: %s: %s", s->path, what, mdb_strerror(rc));
}

/* ---- the map ---- */

/* LMDB unmaps the old map at once; a reader's values would vanish under it. */
static int resize_map(struct store *s, size_t bytes, struct error *err)
{
	if (s->readers)
		return error_set(err, ERR_REFUSED, "database %s: its map must grow, but a reading callback of this process runs; "
				 "write outside of it", s->path);
	int rc = mdb_env_set_mapsize(s->env, bytes);
	return rc ? store_error(s, rc, "growing the map", err) : 0;
}

static int grow_map(struct store *s, struct error *err)
{
	MDB_envinfo info;
	int rc = mdb_env_info(s->env, &info);
	if (rc)
		return store_error(s, rc, "growing the map", err);
	if (info.me_mapsize > SIZE_MAX / 4)
		return error_set(err, ERR_LIMIT, "database %s: no more address space", s->path);
	return resize_map(s, info.me_mapsize * 2, err);
}

/* Another process has grown the file beyond our map: 0 takes its size over. */
static int adopt_map(struct store *s, struct error *err)
{
	return resize_map(s, 0, err);
}

/* ---- transactions ---- */

static int open_env(struct store *s, struct error *err);

MDB_txn *store_begin_read(struct store *s, struct error *err)
{
	MDB_txn *txn;
	if (!s->env && open_env(s, err) < 0)
		return NULL;
	int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
	if (rc == MDB_MAP_RESIZED) {
		if (adopt_map(s, err) < 0)
			return NULL;
		rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
	}
	if (rc) {
		store_error(s, rc, "reading", err);
		return NULL;
	}
	s->readers++;
	return txn;
}

void store_end_read(struct store *s, MDB_txn *txn)
{
	mdb_txn_abort(txn);
	s->readers--;
}

/* LMDB gives an environment up when its meta page could not be written. */
static int reopen_env(struct store *s, struct error *err)
{
	if (s->readers)
		return error_set(err, ERR_FAILED, "database %s: gave up after a failed write; start again", s->path);
	mdb_env_close(s->env);
	s->env = NULL;
	return open_env(s, err);
}

static int try_write(struct store *s, write_body *body, void *ctx, struct error *err)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(s->env, NULL, 0, &txn);
	if (rc)
		return rc;
	rc = body(s, txn, ctx, err);
	if (rc) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

int store_write(struct store *s, write_body *body, void *ctx, struct error *err)
{
	if (s->mode != STORE_WRITE)
		return error_set(err, ERR_REFUSED, "database %s: is open for reading only", s->path);
	int rc = 0;
	for (int i = 0; i < WRITE_TRIES; i++) {
		if (!s->env && open_env(s, err) < 0)
			return -1;
		rc = try_write(s, body, ctx, err);
		int mended = -1;
		if (rc == MDB_MAP_FULL)
			mended = grow_map(s, err);
		else if (rc == MDB_MAP_RESIZED)
			mended = adopt_map(s, err);
		else if (rc == MDB_PANIC)
			mended = reopen_env(s, err);
		else
			break;
		if (mended < 0)
			return -1;
	}
	return rc ? store_error(s, rc, "writing", err) : 0;
}

static bool starts_with(MDB_val key, struct span prefix)
{
	return !prefix.len || (key.mv_size >= prefix.len && memcmp(key.mv_data, prefix.p, prefix.len) == 0);
}

int store_each(struct store *s, enum store_table t, struct span prefix, each_value_fn *fn, void *ctx, struct error *err)
{
	MDB_txn *txn = store_begin_read(s, err);
	if (!txn)
		return -1;
	MDB_cursor *cursor;
	int r = 0, rc = mdb_cursor_open(txn, s->dbi[t], &cursor);
	if (rc) {
		store_end_read(s, txn);
		return store_error(s, rc, "reading", err);
	}
	MDB_val key = val_of(prefix), value;
	rc = mdb_cursor_get(cursor, &key, &value, prefix.len ? MDB_SET_RANGE : MDB_FIRST);
	while (!rc && starts_with(key, prefix)) {
		r = fn(ctx, span_of_val(key), span_of_val(value), err);
		if (r)
			break;
		rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	store_end_read(s, txn);
	return rc && rc != MDB_NOTFOUND ? store_error(s, rc, "reading", err) : r;
}

/* ---- the scheme ---- */

static int put_meta(struct store *s, MDB_txn *txn, const char *name, const char *text)
{
	uint8_t mem[128];
	struct wbuf w;
	struct span key = span_of(name);
	wbuf_fixed(&w, mem, sizeof(mem));
	seal(&w, key, span_of(text));
	return mdb_put(txn, s->dbi[TABLE_META], &(MDB_val){ key.len, (void *)(uintptr_t)key.p }, &(MDB_val){ w.len, w.p }, 0);
}

/* Text of a meta entry in `dst`. */
static int get_meta_text(struct store *s, MDB_txn *txn, const char *name, char *dst, size_t cap, struct error *err)
{
	struct span key = span_of(name), text;
	MDB_val k = val_of(key), v;
	int rc = mdb_get(txn, s->dbi[TABLE_META], &k, &v);
	if (rc == MDB_NOTFOUND)
		return error_set(err, ERR_CORRUPT, "database %s: holds no \"%s\"; it is not Bifocal's, or damaged", s->path, name);
	if (rc)
		return store_error(s, rc, "reading the scheme", err);
	if (unseal(key, span_of_val(v), &text, err) < 0)
		return error_prefix(err, "database %s: meta %s", s->path, name);
	span_text(text, dst, cap);
	return 0;
}

static int check_scheme(struct store *s, MDB_txn *txn, struct error *err)
{
	char scheme[32], version[64];
	uint64_t number;
	if (get_meta_text(s, txn, "scheme", scheme, sizeof(scheme), err) < 0 ||
	    get_meta_text(s, txn, "version", version, sizeof(version), err) < 0)
		return -1;
	if (parse_uint(scheme, 1, UINT64_MAX, &number, NULL) < 0)
		return error_set(err, ERR_CORRUPT, "database %s: \"%s\" is no scheme number", s->path, scheme);
	if (number > STORE_SCHEME)
		return error_set(err, ERR_VERSION, "database %s: has scheme %llu, written by bifocal %s; this is bifocal %s, which reads "
				 "scheme %d; install the newer one, or take another database with --db PATH",
				 s->path, (unsigned long long)number, version, BIFOCAL_VERSION, STORE_SCHEME);
	s->scheme = (unsigned)number;
	return 0;
}

static int create_body(struct store *s, MDB_txn *txn, void *ctx, struct error *err)
{
	char scheme[16], created[32];
	struct timespec now;
	(void)ctx;
	(void)err;
	for (enum store_table t = 0; t < TABLES; t++) {
		int rc = mdb_dbi_open(txn, table_name(t), MDB_CREATE, &s->dbi[t]);
		if (rc)
			return rc;
	}
	/* Another process may have been here between our look and this transaction. */
	MDB_val key = val_of(span_of("scheme")), value;
	s->scheme = STORE_SCHEME;
	if (mdb_get(txn, s->dbi[TABLE_META], &key, &value) == 0)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(scheme, sizeof(scheme), "%d", STORE_SCHEME);
	snprintf(created, sizeof(created), "%lld%09ld", (long long)now.tv_sec, now.tv_nsec);
	int rc = put_meta(s, txn, "scheme", scheme);
	rc = rc ? rc : put_meta(s, txn, "created", created);
	return rc ? rc : put_meta(s, txn, "version", BIFOCAL_VERSION);
}

/* From an older scheme to ours: so far tables were added, and nothing that was there has changed. */
static int upgrade_body(struct store *s, MDB_txn *txn, void *ctx, struct error *err)
{
	char scheme[16];
	(void)ctx;
	(void)err;
	for (enum store_table t = TABLE_SCHEME_2; t < TABLES; t++) {
		int rc = mdb_dbi_open(txn, table_name(t), MDB_CREATE, &s->dbi[t]);
		if (rc)
			return rc;
	}
	snprintf(scheme, sizeof(scheme), "%d", STORE_SCHEME);
	int rc = put_meta(s, txn, "scheme", scheme);
	return rc ? rc : put_meta(s, txn, "version", BIFOCAL_VERSION);
}

static int upgrade(struct store *s, struct error *err)
{
	if (s->mode == STORE_READ || s->scheme == STORE_SCHEME)
		return 0;
	if (store_write(s, upgrade_body, NULL, err) < 0)
		return -1;
	s->scheme = STORE_SCHEME;
	return 0;
}

static int not_there(const struct store *s, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "database %s: there is none yet; `bifocal run` makes one, --db PATH names another", s->path);
}

/* 1: there are no tables at all yet. */
static int open_tables(struct store *s, MDB_txn *txn, struct error *err)
{
	MDB_stat stat;
	MDB_dbi main_db;
	int rc = mdb_dbi_open(txn, NULL, 0, &main_db);
	if (!rc)
		rc = mdb_stat(txn, main_db, &stat);
	if (!rc && stat.ms_entries == 0)
		return 1;
	if (!rc)
		rc = mdb_dbi_open(txn, table_name(TABLE_META), 0, &s->dbi[TABLE_META]);
	if (rc == MDB_NOTFOUND)
		return error_set(err, ERR_CORRUPT, "database %s: is an LMDB database, but not one of Bifocal's", s->path);
	if (rc)
		return store_error(s, rc, "opening", err);
	if (check_scheme(s, txn, err) < 0)
		return -1;
	for (enum store_table t = 0; t < (s->scheme < 2 ? TABLE_SCHEME_2 : TABLES); t++) {
		rc = mdb_dbi_open(txn, table_name(t), 0, &s->dbi[t]);
		if (rc == MDB_NOTFOUND)
			return error_set(err, ERR_CORRUPT, "database %s: table \"%s\" is missing", s->path, table_name(t));
		if (rc)
			return store_error(s, rc, "opening", err);
	}
	return 0;
}

/* Looks at pages and scheme within one snapshot. Handles of tables outlive it only when it is committed. */
static int check_contents(struct store *s, struct error *err)
{
	MDB_txn *txn = store_begin_read(s, err);
	if (!txn)
		return -1;
	if (pages_check_tree(s->env, txn, err) < 0) {
		store_end_read(s, txn);
		return error_prefix(err, "database %s", s->path);
	}
	int r = open_tables(s, txn, err);
	if (r) {
		store_end_read(s, txn);
		return r;
	}
	s->readers--;
	int rc = mdb_txn_commit(txn);
	return rc ? store_error(s, rc, "opening", err) : 0;
}

/* ---- opening ---- */

/* LMDB maps lock.mdb with its blocks yet to be found; on a full disk the first touch is a SIGBUS. So they are reserved here. Where
 * that cannot be done for another reason than room, LMDB is left to say so. */
static int reserve_lock(const struct store *s, struct error *err)
{
	autofree char *path = NULL;
	struct stat st = { 0 };
	if (asprintf(&path, "%s/lock.mdb", s->path) < 0) {
		path = NULL;
		return error_set(err, ERR_LIMIT, "database %s: out of memory", s->path);
	}
	/* Not even opened when all is well: closing it would drop the locks that this process holds on it. */
	if (stat(path, &st) == 0 && st.st_size >= LOCK_BYTES && (uint64_t)st.st_blocks * 512 >= LOCK_BYTES)
		return 0;
	autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int rc = fd < 0 || fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, LOCK_BYTES) ? errno : 0;
	return rc && out_of_room(s, rc) ? no_room(s, rc, "opening", err) : 0;
}

static int fill_env(struct store *s, struct error *err)
{
	unsigned flags = MDB_NOTLS | (s->mode == STORE_READ ? MDB_RDONLY : 0);
	if (reserve_lock(s, err) < 0)
		return -1;
	int rc = mdb_env_set_maxdbs(s->env, TABLES);
	rc = rc ? rc : mdb_env_set_mapsize(s->env, s->first_map);
	rc = rc ? rc : mdb_env_open(s->env, s->path, flags, 0600);
	if (rc == EACCES && s->mode == STORE_READ)
		return error_sys(err, rc, "database %s: opening (a reader, too, must be able to write to lock.mdb)", s->path);
	if (rc)
		return store_error(s, rc, "opening", err);
	/* Slots of readers that died keep old pages from being used again. */
	mdb_reader_check(s->env, &(int){ 0 });
	int r = check_contents(s, err);
	if (r == 1 && s->mode == STORE_READ)
		return not_there(s, err);
	if (r == 1)
		return store_write(s, create_body, NULL, err);
	return r ? r : upgrade(s, err);
}

/* Leaves s->env NULL when it fails; the next use tries again. */
static int open_env(struct store *s, struct error *err)
{
	int missing = pages_check_file(s->path, err);
	if (missing < 0)
		return error_prefix(err, "database %s", s->path);
	if (missing && s->mode == STORE_READ)
		return not_there(s, err);
	int rc = mdb_env_create(&s->env);
	if (rc)
		return store_error(s, rc, "opening", err);
	if (fill_env(s, err) == 0)
		return 0;
	mdb_env_close(s->env);
	s->env = NULL;
	return -1;
}

/* Every missing directory of the path, 0700 as the XDG specification wants it. */
static int make_dirs(const char *path, struct error *err)
{
	autofree char *copy = strdup(path);
	if (!copy)
		return error_set(err, ERR_LIMIT, "out of memory");
	for (char *p = copy + 1;; p++) {
		char was = *p;
		if (was && was != '/')
			continue;
		*p = '\0';
		int why = mkdir(copy, 0700) < 0 ? errno : 0;
		if (why && access(copy, F_OK) < 0)
			return error_sys(err, why, "database %s: cannot make directory %s; take another with --db PATH", path, copy);
		*p = was;
		if (!was)
			return 0;
	}
}

static int check_dir(const char *path, struct error *err)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return error_sys(err, errno, "database %s", path);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ERR_USAGE, "database %s: is not a directory; --db PATH names a directory", path);
	return 0;
}

struct store *store_open_sized(const char *path, enum store_mode mode, size_t first_map, struct error *err)
{
	struct store *s = calloc(1, sizeof(*s));
	if (s)
		s->path = strdup(path);
	if (!s || !s->path) {
		error_set(err, ERR_LIMIT, "database %s: out of memory", path);
		goto fail;
	}
	s->mode = mode;
	s->first_map = first_map;
	if (mode == STORE_WRITE && make_dirs(path, err) < 0)
		goto fail;
	struct stat st;
	if (mode == STORE_READ && stat(path, &st) < 0 && errno == ENOENT) {
		not_there(s, err);
		goto fail;
	}
	if (check_dir(path, err) < 0 || open_env(s, err) < 0)
		goto fail;
	return s;
fail:
	store_close(s);
	return NULL;
}

struct store *store_open(const char *path, enum store_mode mode, struct error *err)
{
	return store_open_sized(path, mode, FIRST_MAP, err);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->env)
		mdb_env_close(s->env);
	block_reader_fini(&s->block);
	free(s->path);
	free(s);
}
