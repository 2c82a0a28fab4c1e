/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/workload.h"

#include <stdio.h>
#include <string.h>

#include "common/units.h"

enum field_type { TYPE_rw, TYPE_engine, TYPE_process, TYPE_verify, TYPE_size, TYPE_duration, TYPE_uint, TYPE_bool };

struct field {
	const char *key;
	enum field_type type;
	size_t offset, width;
	uint64_t min, max;
};

static const struct field fields[] = {
#define WL(type_, key_, def, min_, max_, help) \
	{ .key = #key_, .type = TYPE_##type_, .offset = offsetof(struct workload, key_), \
	  .width = sizeof(((struct workload *)0)->key_), .min = (min_), .max = (max_) },
	WL_TABLE(WL)
#undef WL
};

enum { FIELDS = sizeof(fields) / sizeof(fields[0]), TOKEN_MAX = 128 };

static const struct workload_key keys[FIELDS + 1] = {
#define WL(type_, key_, def_, min, max, help_) { .key = #key_, .type = #type_, .def = def_, .help = help_ },
	WL_TABLE(WL)
#undef WL
};

#define E(name) #name,
static const char *const rw_words[] = { WL_RW(E) NULL };
static const char *const engine_words[] = { WL_ENGINE(E) NULL };
static const char *const process_words[] = { WL_PROCESS(E) NULL };
static const char *const verify_words[] = { WL_VERIFY(E) NULL };
#undef E

/* The words of an enumerated type, NULL for a number. */
static const char *const *words_of(enum field_type type)
{
	switch (type) {
	case TYPE_rw: return rw_words;
	case TYPE_engine: return engine_words;
	case TYPE_process: return process_words;
	case TYPE_verify: return verify_words;
	default: return NULL;
	}
}

const struct workload_key *workload_keys(void)
{
	return keys;
}

/* Fields are 1, 4 or 8 bytes wide: bool, enum, uint64_t. */
static void store(struct workload *w, const struct field *f, uint64_t v)
{
	char *at = (char *)w + f->offset;
	if (f->width == sizeof(uint64_t))
		memcpy(at, &v, sizeof(v));
	else if (f->width == sizeof(uint32_t))
		memcpy(at, &(uint32_t){ (uint32_t)v }, sizeof(uint32_t));
	else
		memcpy(at, &(bool){ v != 0 }, sizeof(bool));
}

static uint64_t load(const struct workload *w, const struct field *f)
{
	const char *at = (const char *)w + f->offset;
	uint64_t v8;
	uint32_t v4;
	bool v1;
	if (f->width == sizeof(v8)) {
		memcpy(&v8, at, sizeof(v8));
		return v8;
	}
	if (f->width == sizeof(v4)) {
		memcpy(&v4, at, sizeof(v4));
		return v4;
	}
	memcpy(&v1, at, sizeof(v1));
	return v1;
}

static const struct field *find(const char *key)
{
	for (size_t i = 0; i < FIELDS; i++)
		if (strcmp(fields[i].key, key) == 0)
			return &fields[i];
	return NULL;
}

static int unknown_key(const char *key, struct error *err)
{
	const char *names[FIELDS + 1] = { 0 };
	for (size_t i = 0; i < FIELDS; i++)
		names[i] = fields[i].key;
	const char *near = nearest_word(key, names);
	if (near)
		return error_set(err, ERR_USAGE, "unknown workload key \"%.40s\"; did you mean \"%s\"?", key, near);
	return error_set(err, ERR_USAGE, "unknown workload key \"%.40s\"; `bifocal run --help` lists them", key);
}

static int parse_word(const char *const words[], const char *value, uint64_t *v, struct error *err)
{
	char list[128] = "";
	for (uint64_t i = 0; words[i]; i++) {
		if (strcmp(words[i], value) == 0) {
			*v = i;
			return 0;
		}
		snprintf(list + strlen(list), sizeof(list) - strlen(list), " %s", words[i]);
	}
	const char *near = nearest_word(value, words);
	if (near)
		return error_set(err, ERR_USAGE, "unknown value \"%.40s\"; did you mean \"%s\"?", value, near);
	return error_set(err, ERR_USAGE, "unknown value \"%.40s\"; known are%s", value, list);
}

static char *format_value(enum field_type type, uint64_t v, char *dst, size_t cap)
{
	const char *const *words = words_of(type);
	if (type == TYPE_size)
		return format_size(v, dst, cap);
	if (type == TYPE_duration)
		return format_duration(v, dst, cap);
	if (words)
		snprintf(dst, cap, "%s", words[v]);
	else
		snprintf(dst, cap, "%llu", (unsigned long long)v);
	return dst;
}

static int check_range(const struct field *f, uint64_t v, const char *value, struct error *err)
{
	char lo[32], hi[32];
	if (v >= f->min && v <= f->max)
		return 0;
	return error_set(err, ERR_USAGE, "%.40s is out of range; %s to %s is allowed", value,
			 format_value(f->type, f->min, lo, sizeof(lo)), format_value(f->type, f->max, hi, sizeof(hi)));
}

static int parse_value(const struct field *f, const char *value, uint64_t *v, struct error *err)
{
	bool truth;
	switch (f->type) {
	case TYPE_size:
		return parse_size(value, v, err) < 0 ? -1 : check_range(f, *v, value, err);
	case TYPE_duration:
		return parse_duration(value, v, err) < 0 ? -1 : check_range(f, *v, value, err);
	case TYPE_uint:
		return parse_uint(value, f->min, f->max, v, err);
	case TYPE_bool:
		if (parse_bool(value, &truth, err) < 0)
			return -1;
		*v = truth;
		return 0;
	default:
		return parse_word(words_of(f->type), value, v, err);
	}
}

int workload_set(struct workload *w, const char *key, const char *value, struct error *err)
{
	const struct field *f = find(key);
	uint64_t v;
	if (!f)
		return unknown_key(key, err);
	if (parse_value(f, value, &v, err) < 0)
		return error_prefix(err, "workload key %s", key);
	store(w, f, v);
	return 0;
}

void workload_default(struct workload *w)
{
	memset(w, 0, sizeof(*w));
	for (size_t i = 0; i < FIELDS; i++) {
		uint64_t v = 0;
		/* The table's own texts; a test parses each with its error. */
		if (parse_value(&fields[i], keys[i].def, &v, NULL) == 0)
			store(w, &fields[i], v);
	}
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* One "key=value" of a text that may come from a peer: what it holds is shown in messages. */
static int parse_token(struct workload *w, const char *p, size_t n, struct error *err)
{
	char token[TOKEN_MAX];
	if (n >= sizeof(token))
		return error_set(err, ERR_USAGE, "workload: a word of %zu bytes; key=value is expected", n);
	for (size_t i = 0; i < n; i++)
		token[i] = p[i] < ' ' || p[i] == 0x7f ? '?' : p[i];
	token[n] = '\0';
	char *equals = strchr(token, '=');
	if (!equals)
		return error_set(err, ERR_USAGE, "workload: \"%.40s\" is not key=value", token);
	*equals = '\0';
	return workload_set(w, token, equals + 1, err);
}

int workload_parse(struct workload *w, const char *text, size_t len, struct error *err)
{
	if (len > WORKLOAD_TEXT_MAX)
		return error_set(err, ERR_LIMIT, "workload: a text of %zu bytes; at most %d are allowed", len, WORKLOAD_TEXT_MAX);
	workload_default(w);
	for (size_t i = 0; i < len;) {
		if (blank(text[i])) {
			i++;
			continue;
		}
		size_t start = i;
		while (i < len && !blank(text[i]))
			i++;
		if (parse_token(w, text + start, i - start, err) < 0)
			return -1;
	}
	return 0;
}

char *workload_get(const struct workload *w, const char *key, char *dst, size_t cap)
{
	const struct field *f = find(key);
	return f ? format_value(f->type, load(w, f), dst, cap) : NULL;
}

char *workload_print(const struct workload *w, char *dst, size_t cap)
{
	size_t at = 0;
	for (size_t i = 0; i < FIELDS && at < cap; i++) {
		char value[32];
		format_value(fields[i].type, load(w, &fields[i]), value, sizeof(value));
		int n = snprintf(dst + at, cap - at, "%s%s=%s", i ? " " : "", fields[i].key, value);
		at += n > 0 ? (size_t)n : 0;
	}
	return dst;
}

bool workload_writes(const struct workload *w)
{
	bool mixed = w->rw == WL_RW_rw || w->rw == WL_RW_randrw;
	return w->rw == WL_RW_write || w->rw == WL_RW_randwrite || (mixed && w->rwmixread < 100);
}

int workload_check(const struct workload *w, struct error *err)
{
	char bs[32], size[32];
	format_size(w->bs, bs, sizeof(bs));
	format_size(w->size, size, sizeof(size));
	if (w->bs % 512)
		return error_set(err, ERR_USAGE, "workload: bs=%s is not a multiple of 512", bs);
	if (w->size && w->size < w->bs)
		return error_set(err, ERR_USAGE, "workload: size=%s holds no block of bs=%s", size, bs);
	if (!w->runtime && !w->number_ios && !w->size)
		return error_set(err, ERR_USAGE, "workload: nothing ends it; set runtime, number_ios or size");
	if (w->ioengine == WL_ENGINE_psync && w->iodepth > 1)
		return error_set(err, ERR_USAGE, "workload: ioengine=psync keeps one I/O in flight, so iodepth=%llu has no effect; "
				 "set numjobs, or take io_uring or libaio", (unsigned long long)w->iodepth);
	if (w->rate_process == WL_PROCESS_poisson && !w->rate_iops)
		return error_set(err, ERR_USAGE, "workload: rate_process=poisson needs rate_iops");
	if (w->verify != WL_VERIFY_none && !workload_writes(w))
		return error_set(err, ERR_USAGE, "workload: verify checks what was written, but rw=%s writes nothing", rw_words[w->rw]);
	return 0;
}
