// SPDX-License-Identifier: GPL-2.0-or-later
#include "common/sight.h"

#include <string.h>

#include "common/boundary.h"
#include "common/column.h"

enum {
	SIGHT_VERSION = 2,
	/* A byte each in the columns kind, place, key and thread. */
	SIGHT_BYTES_MIN = 4,
	NOTHING = 0, FRESH = 1, RECENT = 2,
};

/* ---- names ---- */

enum { AT_NONE = -1 };

static const struct sight_row {
	const char *name, *text;
	uint8_t vantage;
	int8_t boundary;
} rows[SIGHT_KINDS] = {
#define S(number, NAME, name, vantage, boundary, text) [number] = { #name, text, VANTAGE_##vantage, AT_##boundary },
	SIGHT_TABLE(S)
#undef S
};

static const struct sight_row *row_of(unsigned kind)
{
	static const struct sight_row none = { "unknown", "unknown", 0, AT_NONE };
	return kind < SIGHT_KINDS && rows[kind].name ? &rows[kind] : &none;
}

const char *sight_name(unsigned kind) { return row_of(kind)->name; }
const char *sight_text(unsigned kind) { return row_of(kind)->text; }
enum vantage sight_vantage(unsigned kind) { return (enum vantage)row_of(kind)->vantage; }
int sight_boundary(unsigned kind) { return row_of(kind)->boundary; }

const char *sight_syscall_name(unsigned number)
{
	switch (number) {
#define C(n, name) case n: return #name;
	SIGHT_SYSCALLS(C)
#undef C
	default: return "unknown";
	}
}

const char *vantage_name(unsigned vantage)
{
	static const char *const names[] = { "guest.app", "guest.kernel", "vmm", "host.kernel", "mark" };
	return vantage < sizeof(names) / sizeof(names[0]) ? names[vantage] : "unknown";
}

/* ---- what was seen lately ---- */

struct place {
	uint64_t sector;
	uint32_t length, device;
	uint8_t op;
};

/* The last SIGHT_PLACES values, most recent first. Both sides keep the same list, so that a code means the same to both. It grows
 * downwards: a chunk's values all have room, and what is new costs nothing to put in front. */
#define RECENT_LIST(name, type, same) \
	struct name##_list { \
		unsigned n; \
		type *v; \
		type room[SIGHT_CHUNK]; \
	}; \
	static inline void name##_init(struct name##_list *l) \
	{ \
		l->n = 0; \
		l->v = l->room + SIGHT_CHUNK; \
	} \
	static inline void name##_front(struct name##_list *l, unsigned at, type v) \
	{ \
		if (!at) \
			return; \
		memmove(&l->v[1], &l->v[0], at * sizeof(l->v[0])); \
		l->v[0] = v; \
	} \
	static inline void name##_push(struct name##_list *l, type v) \
	{ \
		if (l->n < SIGHT_PLACES) \
			l->n++; \
		*--l->v = v; \
	} \
	/* Its code; the value stands in front afterwards. */ \
	static inline uint8_t name##_code(struct name##_list *l, type v) \
	{ \
		for (unsigned i = 0; i < l->n; i++) { \
			if (!(same)) \
				continue; \
			name##_front(l, i, v); \
			return (uint8_t)(RECENT + i); \
		} \
		name##_push(l, v); \
		return FRESH; \
	} \
	/* False when the code points behind the list. */ \
	static inline bool name##_take(struct name##_list *l, unsigned code, type *v) \
	{ \
		if (code - RECENT >= l->n) \
			return false; \
		*v = l->v[code - RECENT]; \
		name##_front(l, code - RECENT, *v); \
		return true; \
	}

static inline bool same_place(const struct place *a, const struct place *b)
{
	return a->sector == b->sector && a->length == b->length && a->device == b->device && a->op == b->op;
}

RECENT_LIST(place, struct place, same_place(&l->v[i], &v))
RECENT_LIST(word, uint64_t, l->v[i] == v)

static struct place place_of(const struct sighting *s)
{
	return (struct place){ s->sector, s->length, s->device, s->op };
}

static bool is_nowhere(const struct place *p)
{
	return !p->sector && !p->length && !p->device && p->op == SIGHT_OP_NONE;
}

static uint64_t end_of(const struct place *p)
{
	return p->sector + p->length / 512;
}

/* ---- packing ---- */

static void put_bytes_column(struct wbuf *w, const uint8_t *v, size_t n)
{
	put_u32(w, (uint32_t)n);
	put_bytes(w, v, n);
}

static void put_numbers(struct wbuf *w, const uint64_t *v, size_t n)
{
	size_t start = put_blob_open(w);
	column_put(w, v, n);
	put_blob_close(w, start);
}

static void put_runs(struct wbuf *w, const uint64_t *v, size_t n)
{
	size_t start = put_blob_open(w);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && v[end] == v[i];)
			end++;
		put_varint(w, v[i]);
		put_varint(w, end - i);
	}
	put_blob_close(w, start);
}

static bool packable(const struct sighting *s, size_t n)
{
	if (n > SIGHT_CHUNK)
		return false;
	bool good = true;
	for (size_t i = 0; i < n; i++)
		good &= s[i].kind < SIGHT_KINDS && rows[s[i].kind].name && (s[i].op <= IO_DISCARD || s[i].op == SIGHT_OP_NONE) && s[i].flags <= SIGHT_NO_PLACE;
	return good;
}

static void put_places(struct wbuf *w, const struct sighting *s, size_t n)
{
	struct place_list list;
	struct place last = { 0 };
	uint8_t code[SIGHT_CHUNK];
	uint64_t sector[SIGHT_CHUNK], length[SIGHT_CHUNK], device[SIGHT_CHUNK], op[SIGHT_CHUNK];
	size_t fresh = 0;
	place_init(&list);
	device[0] = op[0] = 0;
	for (size_t i = 0; i < n; i++) {
		struct place p = place_of(&s[i]);
		code[i] = is_nowhere(&p) ? NOTHING : place_code(&list, p);
		if (code[i] != FRESH)
			continue;
		sector[fresh] = p.sector - end_of(&last);
		length[fresh] = (uint64_t)p.length - last.length;
		device[fresh] = p.device;
		op[fresh++] = p.op;
		last = p;
	}
	put_bytes_column(w, code, n);
	put_numbers(w, sector, fresh);
	put_numbers(w, length, fresh);
	put_runs(w, device, fresh);
	put_runs(w, op, fresh);
}

static void put_words(struct wbuf *w, const uint64_t *v, size_t n)
{
	struct word_list list;
	uint8_t code[SIGHT_CHUNK];
	uint64_t change[SIGHT_CHUNK], last = 0;
	size_t fresh = 0;
	word_init(&list);
	for (size_t i = 0; i < n; i++) {
		code[i] = v[i] ? word_code(&list, v[i]) : NOTHING;
		if (code[i] != FRESH)
			continue;
		change[fresh++] = v[i] - last;
		last = v[i];
	}
	put_bytes_column(w, code, n);
	put_numbers(w, change, fresh);
}

void sights_pack(struct wbuf *w, const struct sighting *s, size_t n)
{
	uint64_t word[SIGHT_CHUNK], last = 0;
	uint8_t kind[SIGHT_CHUNK];
	if (!packable(s, n)) {
		w->bad = true;
		return;
	}
	put_u8(w, SIGHT_VERSION);
	put_varint(w, n);
	for (size_t i = 0; i < n; last = s[i++].time) {
		word[i] = s[i].time - last;
		kind[i] = (uint8_t)s[i].kind;
	}
	put_numbers(w, word, n);
	put_bytes_column(w, kind, n);
	for (size_t i = 0; i < n; i++)
		word[i] = s[i].flags;
	put_runs(w, word, n);
	put_places(w, s, n);
	for (size_t i = 0; i < n; i++)
		word[i] = s[i].key;
	put_words(w, word, n);
	for (size_t i = 0; i < n; i++)
		word[i] = s[i].thread;
	put_words(w, word, n);
}

/* ---- unpacking ---- */

static int damaged(struct error *err, const char *what)
{
	return error_set(err, ERR_CORRUPT, "sightings: %s", what);
}

static struct rbuf get_column(struct rbuf *in)
{
	struct rbuf column;
	struct span s = get_blob(in);
	rbuf_init(&column, s.p, s.len);
	column.bad = in->bad;
	return column;
}

/* A column of a byte each; NULL when its length is another. */
static const uint8_t *get_bytes_column(struct rbuf *in, size_t n)
{
	struct span s = get_blob(in);
	return !in->bad && s.len == n ? s.p : NULL;
}

static bool get_numbers(struct rbuf *in, uint64_t *v, size_t n)
{
	struct rbuf column = get_column(in);
	return !column.bad && column_get(&column, v, n);
}

static bool get_runs(struct rbuf *in, uint64_t *v, size_t n)
{
	struct rbuf column = get_column(in);
	for (size_t i = 0; i < n;) {
		uint64_t value = get_varint(&column), count = get_varint(&column);
		if (column.bad || !count || count > n - i)
			return false;
		while (count--)
			v[i++] = value;
	}
	return rbuf_done(&column);
}

static size_t count_fresh(const uint8_t *code, size_t n)
{
	size_t fresh = 0;
	for (size_t i = 0; i < n; i++)
		fresh += code[i] == FRESH;
	return fresh;
}

static bool get_times_and_kinds(struct rbuf *in, struct sighting *out, size_t n)
{
	uint64_t word[SIGHT_CHUNK], time = 0;
	if (!get_numbers(in, word, n))
		return false;
	const uint8_t *kind = get_bytes_column(in, n);
	if (!kind)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!rows[kind[i]].name)
			return false;
		time += word[i];
		out[i] = (struct sighting){ .time = time, .kind = kind[i] };
	}
	if (!get_runs(in, word, n))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (word[i] > SIGHT_NO_PLACE)
			return false;
		out[i].flags = (uint8_t)word[i];
	}
	return true;
}

struct fresh_places {
	uint64_t sector[SIGHT_CHUNK], length[SIGHT_CHUNK], device[SIGHT_CHUNK], op[SIGHT_CHUNK];
};

static bool get_fresh_places(struct rbuf *in, struct fresh_places *f, size_t n)
{
	return get_numbers(in, f->sector, n) && get_numbers(in, f->length, n) && get_runs(in, f->device, n) && get_runs(in, f->op, n);
}

/* The next new place, from its changes against the last. */
static bool next_place(const struct fresh_places *f, size_t i, struct place *last)
{
	uint64_t length = last->length + f->length[i];
	if (length > UINT32_MAX || f->device[i] > UINT32_MAX || (f->op[i] > IO_DISCARD && f->op[i] != SIGHT_OP_NONE))
		return false;
	*last = (struct place){ end_of(last) + f->sector[i], (uint32_t)length, (uint32_t)f->device[i], (uint8_t)f->op[i] };
	return true;
}

static bool get_places(struct rbuf *in, struct sighting *out, size_t n)
{
	struct fresh_places f;
	struct place_list list;
	struct place last = { 0 };
	const uint8_t *code = get_bytes_column(in, n);
	if (!code || !get_fresh_places(in, &f, count_fresh(code, n)))
		return false;
	place_init(&list);
	for (size_t i = 0, fresh = 0; i < n; i++) {
		struct place p = { .op = SIGHT_OP_NONE };
		if (code[i] == FRESH) {
			if (!next_place(&f, fresh++, &last))
				return false;
			p = last;
			place_push(&list, p);
		} else if (code[i] != NOTHING && !place_take(&list, code[i], &p)) {
			return false;
		}
		out[i].sector = p.sector;
		out[i].length = p.length;
		out[i].device = p.device;
		out[i].op = p.op;
	}
	return true;
}

static bool get_words(struct rbuf *in, uint64_t *v, size_t n)
{
	struct word_list list;
	uint64_t change[SIGHT_CHUNK], last = 0;
	const uint8_t *code = get_bytes_column(in, n);
	if (!code || !get_numbers(in, change, count_fresh(code, n)))
		return false;
	word_init(&list);
	for (size_t i = 0, fresh = 0; i < n; i++) {
		v[i] = 0;
		if (code[i] == FRESH) {
			last += change[fresh++];
			word_push(&list, v[i] = last);
		} else if (code[i] != NOTHING && !word_take(&list, code[i], &v[i])) {
			return false;
		}
	}
	return true;
}

int sights_unpack(struct span packed, struct sighting *out, size_t cap, struct error *err)
{
	uint64_t word[SIGHT_CHUNK];
	struct rbuf in;
	rbuf_init(&in, packed.p, packed.len);
	if (packed.len > SIGHT_CHUNK_BYTES)
		return damaged(err, "longer than a chunk may be");
	uint8_t version = get_u8(&in);
	uint64_t n = get_varint(&in);
	if (in.bad)
		return damaged(err, "too short for its header");
	if (version != SIGHT_VERSION)
		return error_set(err, ERR_VERSION, "sightings: version %u; this program reads version %d", version, SIGHT_VERSION);
	if (n > SIGHT_CHUNK || n > packed.len / SIGHT_BYTES_MIN)
		return damaged(err, "their count is more than their bytes can hold");
	if (n > cap)
		return error_set(err, ERR_LIMIT, "sightings: %llu of them; there is room for %zu", (unsigned long long)n, cap);
	if (!get_times_and_kinds(&in, out, n))
		return damaged(err, "damaged column of times, kinds or flags");
	if (!get_places(&in, out, n))
		return damaged(err, "damaged columns of places");
	if (!get_words(&in, word, n))
		return damaged(err, "damaged column of keys");
	for (size_t i = 0; i < n; i++)
		out[i].key = word[i];
	if (!get_words(&in, word, n))
		return damaged(err, "damaged column of threads");
	for (size_t i = 0; i < n; i++) {
		if (word[i] > UINT32_MAX)
			return damaged(err, "a thread's number is too large");
		out[i].thread = (uint32_t)word[i];
	}
	return rbuf_done(&in) ? (int)n : damaged(err, "bytes left over behind their columns");
}
