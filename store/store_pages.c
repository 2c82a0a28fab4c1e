/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LMDB maps its file and trusts what it finds there: a truncated file kills the program with SIGBUS, a
 * page of garbage with an assertion or worse. So the pages are read here first, with pread(2), and each is
 * checked for what LMDB takes for granted. Values are large and few, so these are few pages: those that
 * hold the values themselves are not read, but for their headers.
 *
 * The file (LMDB 0.9, data version 1, 64 bits, little-endian), as far as it matters here:
 *
 *   page     0 pgno u64 | 8 pad u16 | 10 flags u16 | 12 lower u16, 14 upper u16 (overflow: pages u32) | 16 …
 *   meta     16 magic u32 | 20 version u32 | 24 address u64 | 32 map size u64 | 40 free db | 88 main db |
 *            136 last page u64 | 144 transaction u64                       (pages 0 and 1, the newer counts)
 *   db       0 pad u32 (free db: page size) | 4 flags u16 | 6 depth u16 | 8 … 32 counts | 40 root page u64
 *   branch,  from 16 to `lower` offsets u16 of nodes, which lie between `upper` and the page's end:
 *   leaf     0 lo u16 | 2 hi u16 | 4 flags u16 | 6 key size u16 | 8 key, then in a leaf lo | hi << 16 bytes
 *            of data (or, flag 1, the u64 number of a run of overflow pages that hold them; or, flag 2, a
 *            db); in a branch lo | hi << 16 | flags << 32 is the number of the page below
 *   free db  its values are lists of free page numbers u64, their count u64 first
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "store/impl.h"

#define NO_PAGE UINT64_MAX

enum {
	LMDB_MAGIC = (int)0xbeefc0de, LMDB_VERSION = 1,
	PAGE_HEADER = 16, META_END = 152, DB_BYTES = 48, NODE_HEADER = 8,
	PAGE_MIN = 512, PAGE_MAX = 32768,
	PAGE_BRANCH = 1, PAGE_LEAF = 2, PAGE_OVERFLOW = 4, PAGE_META = 8,
	PAGE_KINDS = PAGE_BRANCH | PAGE_LEAF | PAGE_OVERFLOW | PAGE_META | 0x20 | 0x40,
	DB_INTEGER_KEY = 8,
	NODE_BIG = 1, NODE_DB = 2,
	DEPTH_MAX = 32, LMDB_KEY_MAX = 511,
	/* A reader's meta page is overwritten by the second commit after it; commits are synced, so it
	 * takes a busy writer to do that even once between two system calls. */
	SNAPSHOT_TRIES = 20,
};

struct db {
	uint32_t pad;
	uint16_t flags, depth;
	uint64_t root;
};

struct meta {
	uint64_t last, txn;
	struct db free, main;
};

enum tree { TREE_FREE, TREE_MAIN, TREE_TABLE };

struct walk {
	int fd;
	size_t page_size;
	uint64_t last;        /* highest page number ever taken into use */
	uint64_t pages;       /* that are so and lie within the file */
	uint8_t *seen;        /* a bit a page */
	struct error *err;
};

static uint64_t little(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;
	memcpy(&v, p, bytes);
	return v;
}

static struct db get_db(const uint8_t *p)
{
	return (struct db){ .pad = (uint32_t)little(p, 4), .flags = (uint16_t)little(p + 4, 2),
			    .depth = (uint16_t)little(p + 6, 2), .root = little(p + 40, 8) };
}

static int broken(struct error *err, uint64_t pgno, const char *what)
{
	return error_set(err, ERR_CORRUPT, "page %llu: %s", (unsigned long long)pgno, what);
}

static int read_at(int fd, void *dst, size_t n, uint64_t at, struct error *err)
{
	ssize_t got = pread(fd, dst, n, (off_t)at);
	if (got < 0)
		return error_sys(err, errno, "reading data.mdb");
	if ((size_t)got < n)
		return error_set(err, ERR_CORRUPT, "data.mdb is truncated: it ends at byte %llu, more is expected",
				 (unsigned long long)(at + (uint64_t)got));
	return 0;
}

/* ---- meta pages ---- */

static int get_meta(const uint8_t *page, unsigned which, struct meta *m, struct error *err)
{
	if (little(page + 16, 4) != (uint32_t)LMDB_MAGIC || !(little(page + 10, 2) & PAGE_META))
		return error_set(err, ERR_CORRUPT, "data.mdb is damaged or no database: meta page %u is not one", which);
	if (little(page + 20, 4) != LMDB_VERSION)
		return error_set(err, ERR_VERSION, "data.mdb was written by another LMDB: data version %u, not %d",
				 (unsigned)little(page + 20, 4), LMDB_VERSION);
	*m = (struct meta){ .free = get_db(page + 40), .main = get_db(page + 88),
			    .last = little(page + 136, 8), .txn = little(page + 144, 8) };
	uint32_t size = m->free.pad;
	if (size < PAGE_MIN || size > PAGE_MAX || size & (size - 1) || m->free.flags != DB_INTEGER_KEY || m->main.flags)
		return error_set(err, ERR_CORRUPT, "data.mdb is damaged: meta page %u makes no sense", which);
	return 0;
}

static int get_metas(int fd, struct meta m[2], struct error *err)
{
	uint8_t page[META_END];
	if (read_at(fd, page, sizeof(page), 0, err) < 0 || get_meta(page, 0, &m[0], err) < 0)
		return -1;
	if (read_at(fd, page, sizeof(page), m[0].free.pad, err) < 0 || get_meta(page, 1, &m[1], err) < 0)
		return -1;
	if (m[0].free.pad != m[1].free.pad)
		return error_set(err, ERR_CORRUPT, "data.mdb is damaged: its meta pages disagree on the page size");
	return 0;
}

int pages_check_file(const char *dir, struct error *err)
{
	char path[4096];
	struct stat st;
	struct meta m[2];
	snprintf(path, sizeof(path), "%s/data.mdb", dir);
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 1;
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_sys(err, errno, "opening %s", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_CORRUPT, "%s is not a regular file", path);
	if (st.st_size == 0)
		return 1;
	return get_metas(fd, m, err);
}

/* ---- the tree ---- */

/* Marks `n` pages as reached. */
static int claim(struct walk *w, uint64_t pgno, uint64_t n)
{
	if (pgno < 2 || pgno >= w->pages || n > w->pages - pgno)
		return broken(w->err, pgno, "lies outside the file; it is truncated or damaged");
	for (uint64_t i = pgno; i < pgno + n; i++) {
		if (w->seen[i / 8] >> (i % 8) & 1)
			return broken(w->err, i, "is reached twice");
		w->seen[i / 8] |= (uint8_t)(1 << (i % 8));
	}
	return 0;
}

/* A run of overflow pages holding `bytes`. */
static int check_overflow(struct walk *w, uint64_t pgno, uint64_t bytes)
{
	uint8_t head[PAGE_HEADER];
	uint64_t n = (PAGE_HEADER + bytes + w->page_size - 1) / w->page_size;
	if (claim(w, pgno, n) < 0 || read_at(w->fd, head, sizeof(head), pgno * w->page_size, w->err) < 0)
		return -1;
	if (little(head, 8) != pgno || (little(head + 10, 2) & PAGE_KINDS) != PAGE_OVERFLOW || little(head + 12, 4) != n)
		return broken(w->err, pgno, "is not the overflow page it should be");
	return 0;
}

struct node {
	const uint8_t *key, *data;
	size_t key_len, flags, room;  /* room: bytes from data to the page's end */
	uint64_t size, below;
};

static int get_node(struct walk *w, const uint8_t *page, uint64_t pgno, unsigned i, struct node *n)
{
	size_t at = little(page + PAGE_HEADER + 2 * i, 2);
	if (at < little(page + 14, 2) || at + NODE_HEADER > w->page_size)
		return broken(w->err, pgno, "a node lies outside of it");
	const uint8_t *p = page + at;
	n->size = little(p, 4);
	n->flags = little(p + 4, 2);
	n->below = n->size | (uint64_t)n->flags << 32;
	n->key_len = little(p + 6, 2);
	if (n->key_len > LMDB_KEY_MAX || n->key_len > w->page_size - at - NODE_HEADER)
		return broken(w->err, pgno, "a key is longer than it may be");
	n->key = p + NODE_HEADER;
	n->data = n->key + n->key_len;
	n->room = w->page_size - at - NODE_HEADER - n->key_len;
	return 0;
}

static int check_tree(struct walk *w, const struct db *db, enum tree tree);

/* The pages on a free list exist and are really free. */
static int check_free_list(struct walk *w, uint64_t pgno, const struct node *n)
{
	autofree uint8_t *copy = NULL;
	const uint8_t *list = n->data;
	if (n->key_len != 8 || n->size < 8 || n->size % 8)
		return broken(w->err, pgno, "a free list has no list's size");
	if (n->flags & NODE_BIG) {
		uint64_t run = little(n->data, 8);
		if (check_overflow(w, run, n->size) < 0)
			return -1;
		list = copy = malloc(n->size);
		if (!copy)
			return error_set(w->err, ERR_LIMIT, "out of memory for a free list of %llu bytes", (unsigned long long)n->size);
		if (read_at(w->fd, copy, n->size, run * w->page_size + PAGE_HEADER, w->err) < 0)
			return -1;
	}
	uint64_t count = little(list, 8);
	if (count > n->size / 8 - 1)
		return broken(w->err, pgno, "a free list is longer than its value");
	for (uint64_t i = 1; i <= count; i++) {
		uint64_t page = little(list + 8 * i, 8);
		if (page < 2 || page > w->last)
			return broken(w->err, pgno, "a free list holds a page that does not exist");
		/* A free page at the end need not be in the file: it may never have been written. */
		if (page < w->pages && claim(w, page, 1) < 0)
			return -1;
	}
	return 0;
}

static int check_leaf_node(struct walk *w, uint64_t pgno, const struct node *n, enum tree tree)
{
	bool big = n->flags & NODE_BIG;
	if ((big ? 8 : n->size) > n->room)
		return broken(w->err, pgno, "a value reaches beyond its end");
	if (n->flags & ~(size_t)(NODE_BIG | NODE_DB) || (tree == TREE_MAIN) != !!(n->flags & NODE_DB))
		return broken(w->err, pgno, "a value has a kind that does not belong there");
	if (tree == TREE_FREE)
		return check_free_list(w, pgno, n);
	if (tree == TREE_MAIN) {
		if (big || n->size != DB_BYTES)
			return broken(w->err, pgno, "a table's root is not one");
		struct db db = get_db(n->data);
		if (db.flags)
			return broken(w->err, pgno, "a table has flags that no table has");
		return check_tree(w, &db, TREE_TABLE);
	}
	return big ? check_overflow(w, little(n->data, 8), n->size) : 0;
}

static bool ascending(const struct node *a, const struct node *b, enum tree tree)
{
	if (tree == TREE_FREE)
		return a->key_len == 8 && b->key_len == 8 && little(a->key, 8) < little(b->key, 8);
	int order = memcmp(a->key, b->key, a->key_len < b->key_len ? a->key_len : b->key_len);
	return order < 0 || (order == 0 && a->key_len < b->key_len);
}

static int check_page(struct walk *w, uint64_t pgno, unsigned depth, enum tree tree);

static int check_nodes(struct walk *w, const uint8_t *page, uint64_t pgno, unsigned depth, enum tree tree)
{
	bool branch = depth > 1;
	unsigned count = (unsigned)(little(page + 12, 2) - PAGE_HEADER) / 2;
	struct node n, before = { 0 };
	for (unsigned i = 0; i < count; i++, before = n) {
		if (get_node(w, page, pgno, i, &n) < 0)
			return -1;
		/* The first key of a branch page is never looked at, and mostly empty. */
		if (i > (branch ? 1u : 0u) && !ascending(&before, &n, tree))
			return broken(w->err, pgno, "its keys are out of order");
		int r = branch ? check_page(w, n.below, depth - 1, tree) : check_leaf_node(w, pgno, &n, tree);
		if (r < 0)
			return -1;
	}
	return 0;
}

static int check_page(struct walk *w, uint64_t pgno, unsigned depth, enum tree tree)
{
	if (claim(w, pgno, 1) < 0)
		return -1;
	autofree uint8_t *page = malloc(w->page_size);
	if (!page)
		return error_set(w->err, ERR_LIMIT, "out of memory for a page");
	if (read_at(w->fd, page, w->page_size, pgno * w->page_size, w->err) < 0)
		return -1;
	uint64_t kind = little(page + 10, 2) & PAGE_KINDS, lower = little(page + 12, 2), upper = little(page + 14, 2);
	if (little(page, 8) != pgno || kind != (depth > 1 ? PAGE_BRANCH : PAGE_LEAF))
		return broken(w->err, pgno, "is not the page it should be");
	unsigned least = depth > 1 && tree != TREE_FREE ? 2 : 1;
	if (lower < PAGE_HEADER + 2 * least || lower % 2 || lower > upper || upper > w->page_size)
		return broken(w->err, pgno, "its bounds make no sense");
	return check_nodes(w, page, pgno, depth, tree);
}

static int check_tree(struct walk *w, const struct db *db, enum tree tree)
{
	if (db->root == NO_PAGE)
		return 0;
	if (db->depth < 1 || db->depth > DEPTH_MAX)
		return broken(w->err, db->root, "its tree has an impossible depth");
	return check_page(w, db->root, db->depth, tree);
}

/* The meta page of the transaction's snapshot. Returns 0, 1 when commits have overtaken it, or -1. */
static int snapshot_meta(int fd, MDB_txn *txn, struct meta *m, struct error *err)
{
	struct meta both[2];
	if (get_metas(fd, both, err) < 0)
		return -1;
	uint64_t id = mdb_txn_id(txn);
	*m = both[id & 1];
	return m->txn == id ? 0 : 1;
}

int pages_check_tree(MDB_env *env, MDB_txn *txn, struct error *err)
{
	struct walk w = { .err = err };
	struct stat st;
	struct meta m;
	int r = mdb_env_get_fd(env, &w.fd);
	if (r)
		return error_set(err, ERR_FAILED, "%s", mdb_strerror(r));
	for (int i = 0; (r = snapshot_meta(w.fd, txn, &m, err)) == 1 && i < SNAPSHOT_TRIES; i++) {
		mdb_txn_reset(txn);
		int rc = mdb_txn_renew(txn);
		if (rc)
			return error_set(err, ERR_FAILED, "%s", mdb_strerror(rc));
	}
	if (r < 0)
		return -1;
	if (r == 1)
		return error_set(err, ERR_TIMEOUT, "another process commits too fast to look at a snapshot; try again");
	if (fstat(w.fd, &st) < 0)
		return error_sys(err, errno, "data.mdb");
	w.page_size = m.free.pad;
	w.last = m.last;
	w.pages = (uint64_t)st.st_size / w.page_size;
	if (w.pages > m.last && m.last < UINT64_MAX)
		w.pages = m.last + 1;
	autofree uint8_t *seen = calloc(1, w.pages / 8 + 1);
	if (!seen)
		return error_set(err, ERR_LIMIT, "out of memory for a map of %llu pages", (unsigned long long)w.pages);
	w.seen = seen;
	if (check_tree(&w, &m.free, TREE_FREE) < 0)
		return error_prefix(err, "data.mdb is damaged");
	if (check_tree(&w, &m.main, TREE_MAIN) < 0)
		return error_prefix(err, "data.mdb is damaged");
	return 0;
}
