/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cells, their configurations and their order. */
#include "host/run/study.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void study_init(struct study *st)
{
	*st = (struct study){ .repeats = 1, .seed = 1, .disk = "bifocal-scratch" };
	config_default(&st->base);
}

void study_fini(struct study *st)
{
	for (size_t i = 0; i < st->n_vary; i++)
		free(st->vary[i].text);
	plugins_fini(&st->plugins);
	st->n_vary = 0;
}

static int split_values(struct vary *v, struct error *err)
{
	char *save = NULL;
	for (char *p = strtok_r(v->text, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		if (v->n == STUDY_VALUES_MAX)
			return error_set(err, ERR_USAGE, "--vary %s: %d values at most", v->key, STUDY_VALUES_MAX);
		v->value[v->n++] = p;
	}
	if (!v->n)
		return error_set(err, ERR_USAGE, "--vary %s: no values; write %s=VALUE,VALUE", v->key, v->key);
	return 0;
}

static int try_values(const struct study *st, const struct vary *v, struct error *err)
{
	for (size_t i = 0; i < st->n_vary; i++)
		if (!strcmp(st->vary[i].key, v->key))
			return error_set(err, ERR_USAGE, "--vary %s is given twice", v->key);
	for (size_t i = 0; i < v->n; i++) {
		struct config c = st->base;
		if (config_set(&c, v->key, v->value[i], err))
			return error_prefix(err, "--vary");
		for (size_t j = 0; j < i; j++)
			if (!strcmp(v->value[i], v->value[j]))
				return error_set(err, ERR_USAGE, "--vary %s: %s is there twice; --repeat N runs every cell N times", v->key, v->value[i]);
	}
	return 0;
}

int study_vary(struct study *st, const char *assignment, struct error *err)
{
	struct vary v = { 0 };
	const char *equals = strchr(assignment, '=');
	char key[64];
	if (!equals || equals == assignment || (size_t)(equals - assignment) >= sizeof(key))
		return error_set(err, ERR_USAGE, "--vary \"%s\": write KEY=VALUE,VALUE", assignment);
	if (st->n_vary == STUDY_VARY_MAX)
		return error_set(err, ERR_USAGE, "--vary: %d keys at most", STUDY_VARY_MAX);
	snprintf(key, sizeof(key), "%.*s", (int)(equals - assignment), assignment);
	if (config_resolve(key, v.key, sizeof(v.key), err))
		return error_prefix(err, "--vary");
	v.text = strdup(equals + 1);
	if (!v.text)
		return error_set(err, ERR_LIMIT, "out of memory");
	if (split_values(&v, err) || try_values(st, &v, err)) {
		free(v.text);
		return -1;
	}
	st->vary[st->n_vary++] = v;
	if (study_cells(st) > STUDY_CELLS_MAX)
		return error_set(err, ERR_USAGE, "--vary: more than %d combinations", STUDY_CELLS_MAX);
	return 0;
}

int study_self_check(struct study *st, struct error *err)
{
	st->self_check = true;
	return study_vary(st, "trace.enabled=on,off", err) ? error_prefix(err, "--self-check") : 0;
}

size_t study_cells(const struct study *st)
{
	size_t n = 1;
	for (size_t i = 0; i < st->n_vary && n <= STUDY_CELLS_MAX; i++)
		n *= st->vary[i].n;
	return n;
}

int study_cell(const struct study *st, size_t cell, struct config *out, char *text, size_t cap, struct error *err)
{
	size_t used = 0, rest = cell;
	const char *value[STUDY_VARY_MAX];
	*out = st->base;
	text[0] = 0;
	/* The key given last varies fastest. */
	for (size_t i = st->n_vary; i-- > 0; rest /= st->vary[i].n)
		value[i] = st->vary[i].value[rest % st->vary[i].n];
	for (size_t i = 0; i < st->n_vary; i++) {
		char buf[CONFIG_TEXT_MAX];
		if (config_set(out, st->vary[i].key, value[i], err))
			return -1;
		if (used < cap)
			used += (size_t)snprintf(text + used, cap - used, "%s%s=%s", used ? " " : "", st->vary[i].key,
						 config_get(out, st->vary[i].key, buf, sizeof(buf)));
	}
	if (config_check(out, err) || workload_check(&out->workload, err) || run_events_check(&st->events, out, err))
		return *text ? error_prefix(err, "%s", text) : -1;
	return 0;
}

/* Steele, Lea and Flood's splitmix64: one multiplication chain a number, good enough to shuffle and to spread seeds. */
static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static void shuffle(struct study_run *r, size_t n, uint64_t *state)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = (size_t)(splitmix(state) % i);
		struct study_run t = r[i - 1];
		r[i - 1] = r[j];
		r[j] = t;
	}
}

struct study_run *study_order(const struct study *st, struct error *err)
{
	size_t cells = study_cells(st);
	uint64_t state = st->seed;
	struct study_run *order = calloc(cells * st->repeats, sizeof(*order));
	if (!order) {
		error_set(err, ERR_LIMIT, "out of memory");
		return NULL;
	}
	for (unsigned rep = 0; rep < st->repeats; rep++) {
		struct study_run *round = order + rep * cells;
		for (size_t i = 0; i < cells; i++)
			round[i] = (struct study_run){ i, rep };
		shuffle(round, cells, &state);
	}
	return order;
}

uint64_t study_run_seed(const struct study *st, const struct study_run *r)
{
	/* The cell stays out of it: cells that are compared read the same sectors in the same order. */
	uint64_t state = st->seed + r->repeat;
	uint64_t seed = splitmix(&state);
	return seed ? seed : 1;
}
