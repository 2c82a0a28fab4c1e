/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which runs: filters over the store's run table. */
#include "mine/query.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/units.h"

/* Runs of the store with their attributes, before any request is read. */
struct candidates {
	struct mine_run *run;
	size_t n, cap;
};

static int take_run(void *ctx, const struct store_run *meta)
{
	struct candidates *c = ctx;
	if (c->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 64;
		struct mine_run *grown = reallocarray(c->run, cap, sizeof(*grown));
		if (!grown)
			return 1;
		c->run = grown;
		c->cap = cap;
	}
	c->run[c->n++] = (struct mine_run){ .meta = *meta };
	return 0;
}

static void candidates_fini(struct candidates *c)
{
	for (size_t i = 0; i < c->n; i++)
		run_fini(&c->run[i]);
	free(c->run);
}

static void drop_run(struct candidates *c, size_t i)
{
	run_fini(&c->run[i]);
	memmove(&c->run[i], &c->run[i + 1], (c->n - i - 1) * sizeof(*c->run));
	c->n--;
}

static int read_candidates(struct candidates *c, struct store *s, struct error *err)
{
	int rc = store_each_run(s, take_run, c, err);
	if (rc > 0)
		return error_set(err, ERR_LIMIT, "no memory for the list of runs");
	if (rc)
		return -1;
	for (size_t i = 0; i < c->n; i++)
		if (run_read_attrs(&c->run[i], s, err))
			return -1;
	return 0;
}

/* The run's text for a filter's key: full or short attribute, or one of the words of the run table. */
static const char *filter_text(const struct mine_run *r, const char *key, char *dst, size_t cap)
{
	if (strcmp(key, "status") == 0)
		return run_status_name(r->meta.status);
	if (strcmp(key, "run") == 0 || strcmp(key, "study") == 0) {
		snprintf(dst, cap, "%llu", (unsigned long long)(*key == 'r' ? r->meta.run : r->meta.study));
		return dst;
	}
	const char *text = run_attr(r, key);
	static const char *const prefix[] = { "config.", "workload.", "prov." };
	for (size_t i = 0; !text && i < sizeof(prefix) / sizeof(*prefix); i++) {
		char full[STORE_KEY_MAX + 16];
		snprintf(full, sizeof(full), "%s%s", prefix[i], key);
		text = run_attr(r, full);
	}
	return text;
}

static bool listed(const char *values, const char *text)
{
	size_t len = strlen(text);
	for (const char *v = values; v; v = strchr(v, ',')) {
		v += *v == ',';
		if (strncmp(v, text, len) == 0 && (v[len] == ',' || v[len] == '\0'))
			return true;
		if (*v == '\0')
			break;
	}
	return false;
}

static bool filter_passes(const struct filter *f, const struct mine_run *r)
{
	char word[32];
	if (strcmp(f->key, "study") == 0 && strcmp(f->values, "all") == 0)
		return true;
	const char *text = filter_text(r, f->key, word, sizeof(word));
	return (text && listed(f->values, text)) != f->except;
}

/* The short form people type: without config. or workload. */
static const char *short_key(const char *key)
{
	if (strncmp(key, "config.", 7) == 0)
		return key + 7;
	return strncmp(key, "workload.", 9) == 0 ? key + 9 : key;
}

static int unknown_key(const struct candidates *c, const struct filter *f, struct error *err)
{
	size_t total = 0, n = 0;
	for (size_t i = 0; i < c->n; i++)
		total += c->run[i].n_attr;
	autofree const char **words = calloc(2 * total + 4, sizeof(*words));
	if (!words)
		return error_set(err, ERR_LIMIT, "no memory");
	for (size_t i = 0; i < c->n; i++)
		for (size_t k = 0; k < c->run[i].n_attr; k++) {
			words[n++] = short_key(c->run[i].attr[k].key);
			words[n++] = c->run[i].attr[k].key;
		}
	words[n++] = "study";
	words[n++] = "status";
	const char *near = nearest_word(f->key, words);
	return error_set(err, ERR_USAGE, "%s: no run in the database has \"%s\"; %s%s%s", f->origin, f->key,
			 near ? "did you mean \"" : "`bifocal show RUN --json` lists a run's keys",
			 near ? near : "", near ? "\"?" : "");
}

/* "virtio-blk, ahci": the values that would have matched, each once. */
static void seen_values(const struct candidates *c, const struct filter *f, char *dst, size_t cap)
{
	size_t len = 0;
	dst[0] = '\0';
	for (size_t i = 0; i < c->n; i++) {
		char word[32], before[32];
		const char *text = filter_text(&c->run[i], f->key, word, sizeof(word));
		bool known = !text;
		for (size_t j = 0; j < i && !known; j++) {
			const char *other = filter_text(&c->run[j], f->key, before, sizeof(before));
			known = other && strcmp(other, text) == 0;
		}
		if (!known && len + strlen(text) + 8 < cap)
			len += (size_t)snprintf(dst + len, cap - len, "%s%s", len ? ", " : "", text);
	}
}

static int emptied(const struct candidates *c, const struct filter *f, struct error *err)
{
	char seen[512];
	seen_values(c, f, seen, sizeof(seen));
	return error_set(err, ERR_NOT_FOUND, "%s leaves no run: the %zu run%s before it ha%s %s %s", f->origin, c->n,
			 c->n == 1 ? "" : "s", c->n == 1 ? "s" : "ve", f->key, *seen ? seen : "not at all");
}

/* Drops every study but the newest; returns how many runs that were. */
static size_t keep_last_study(struct candidates *c, uint64_t *last)
{
	size_t before = c->n;
	*last = 0;
	for (size_t i = 0; i < c->n; i++)
		if (c->run[i].meta.study > *last)
			*last = c->run[i].meta.study;
	for (size_t i = c->n; i-- > 0;)
		if (c->run[i].meta.study != *last)
			drop_run(c, i);
	return before - c->n;
}

static int apply_filter(struct candidates *c, const struct filter *f, struct error *err)
{
	if (strcmp(f->key, "study") == 0 && strcmp(f->values, "last") == 0 && !f->except) {
		uint64_t last;
		keep_last_study(c, &last);
		return 0;
	}
	bool known = strcmp(f->key, "op") == 0;
	size_t passing = 0;
	for (size_t i = 0; i < c->n; i++) {
		char word[32];
		known |= filter_text(&c->run[i], f->key, word, sizeof(word)) != NULL;
		passing += filter_passes(f, &c->run[i]);
	}
	if (!known)
		return unknown_key(c, f, err);
	/* Reads and writes part only when the requests are read. */
	if (strcmp(f->key, "op") == 0)
		return 0;
	if (!passing)
		return emptied(c, f, err);
	for (size_t i = c->n; i-- > 0;)
		if (!filter_passes(f, &c->run[i]))
			drop_run(c, i);
	return 0;
}

static bool names_study(const struct selection *sel)
{
	for (size_t i = 0; i < sel->n_filters; i++)
		if (strcmp(sel->filter[i].key, "study") == 0)
			return true;
	return false;
}

static int take_last_study(struct dataset *d, struct candidates *c, struct error *err)
{
	uint64_t last;
	size_t others = keep_last_study(c, &last);
	if (others && dataset_note(d, false, "This is study %llu, the newest. The database holds %zu run%s of earlier studies: "
				   "--where study=all takes them in.", (unsigned long long)last, others, others == 1 ? "" : "s"))
		return error_set(err, ERR_LIMIT, "no memory");
	return 0;
}

/* Runs still going, or failed, have nothing to say; what is left out is said. */
static int drop_unfinished(struct dataset *d, struct candidates *c, struct error *err)
{
	for (size_t i = c->n; i-- > 0;) {
		enum run_status status = c->run[i].meta.status;
		if (status == RUN_COMPLETE || status == RUN_PARTIAL)
			continue;
		if (dataset_note(d, status == RUN_FAILED, "Run %llu %s%s and was left out.", (unsigned long long)c->run[i].meta.run,
				 status == RUN_FAILED ? "" : "is ", run_status_name(status)))
			return error_set(err, ERR_LIMIT, "no memory");
		drop_run(c, i);
	}
	if (!c->n)
		return error_set(err, ERR_NOT_FOUND, "none of the runs selected has ended well; `bifocal list` shows them");
	return 0;
}

/* Its figures are good as far as they go; that something is missing is said before them. */
static int note_partial(struct dataset *d, const struct candidates *c, struct error *err)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->run[i].meta.status == RUN_PARTIAL &&
		    dataset_note(d, false, "Run %llu is partial: something of it was lost; the account of losses counts what.",
				 (unsigned long long)c->run[i].meta.run))
			return error_set(err, ERR_LIMIT, "no memory");
	return 0;
}

static int select_runs(struct dataset *d, struct candidates *c, const struct selection *sel, struct error *err)
{
	if (!c->n)
		return error_set(err, ERR_NOT_FOUND, "the database holds no run yet; `bifocal run` makes one");
	if (sel->last_study && !names_study(sel) && take_last_study(d, c, err))
		return -1;
	for (size_t i = 0; i < sel->n_filters; i++)
		if (apply_filter(c, &sel->filter[i], err))
			return -1;
	return drop_unfinished(d, c, err) || note_partial(d, c, err) ? -1 : 0;
}

static bool op_passes(const struct selection *sel, const struct mine_run *r)
{
	for (size_t i = 0; i < sel->n_filters; i++) {
		const struct filter *f = &sel->filter[i];
		if (strcmp(f->key, "op") == 0 && listed(f->values, r->direction) == f->except)
			return false;
	}
	return true;
}

static int note_empty(struct dataset *d, const struct mine_run *r)
{
	return dataset_note(d, true, "Run %llu has no counted %s and was left out: %zu in the ramp, %llu failed, %llu reaped before submitted.",
			    (unsigned long long)r->meta.run, r->op ? r->op : "request", r->n_ramp, (unsigned long long)r->failed,
			    (unsigned long long)r->impossible);
}

/* A run that cannot be read is left out and said, so that one damaged chunk does not hide the others. */
static int load_run(struct dataset *d, struct store *s, const struct store_run *meta, const struct selection *sel, struct error *err)
{
	struct mine_run part[2];
	size_t n = 0;
	struct error why = { 0 };
	if (run_read(part, &n, s, meta, &why)) {
		if (why.code == ERR_LIMIT) {
			*err = why;
			return -1;
		}
		if (dataset_note(d, true, "Run %llu was left out: %s.", (unsigned long long)meta->run, why.text))
			return error_set(err, ERR_LIMIT, "no memory");
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		if (part[i].n && op_passes(sel, &part[i])) {
			d->run[d->runs++] = part[i];
			continue;
		}
		int rc = part[i].n ? 0 : note_empty(d, &part[i]);
		run_fini(&part[i]);
		if (rc)
			return error_set(err, ERR_LIMIT, "no memory");
	}
	return 0;
}

static int load_runs(struct dataset *d, struct store *s, const struct candidates *c, const struct selection *sel, struct error *err)
{
	d->run = calloc(2 * c->n, sizeof(*d->run));
	if (!d->run)
		return error_set(err, ERR_LIMIT, "no memory for %zu runs", c->n);
	for (size_t i = 0; i < c->n; i++)
		if (load_run(d, s, &c->run[i].meta, sel, err))
			return -1;
	if (!d->runs)
		return error_set(err, ERR_NOT_FOUND, "no run selected can be drawn. %s",
				 d->notes ? d->note[d->notes - 1].text : "None has reads or writes as asked.");
	return 0;
}

int dataset_load(struct dataset *d, struct store *s, const struct selection *sel, struct error *err)
{
	*d = (struct dataset){ 0 };
	struct candidates c = { 0 };
	int rc = read_candidates(&c, s, err);
	if (!rc)
		rc = select_runs(d, &c, sel, err);
	if (!rc)
		rc = load_runs(d, s, &c, sel, err);
	if (!rc)
		rc = dataset_group(d, sel->by, sel->n_by, err);
	candidates_fini(&c);
	if (rc)
		dataset_fini(d);
	return rc;
}

int dataset_note(struct dataset *d, bool loss, const char *fmt, ...)
{
	struct note *grown = reallocarray(d->note, d->notes + 1, sizeof(*grown));
	if (!grown)
		return -1;
	d->note = grown;
	va_list ap;
	va_start(ap, fmt);
	char *text;
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -1;
	d->note[d->notes++] = (struct note){ .text = text, .loss = loss };
	return 0;
}

void dataset_fini(struct dataset *d)
{
	for (size_t i = 0; i < d->runs; i++)
		run_fini(&d->run[i]);
	for (size_t i = 0; i < d->groups; i++) {
		free(d->group[i].label);
		free(d->group[i].value);
		free(d->group[i].run);
	}
	for (size_t i = 0; i < d->keys; i++)
		free(d->key[i]);
	for (size_t i = 0; i < d->notes; i++)
		free(d->note[i].text);
	free(d->run);
	free(d->group);
	free(d->key);
	free(d->note);
	*d = (struct dataset){ 0 };
}
