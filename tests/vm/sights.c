/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a stored run's streams hold, for the VM tests: sights DATABASE RUN
 *     stream NUMBER SOURCE CLOCK EVENTS LOST
 *     kind NUMBER NAME COUNT            sightings of a kind in that stream
 *     unordered NUMBER COUNT LARGEST    stamps behind a later one of the same thread; ns
 *     attr KEY TEXT                     vantage.* and absent.*, trace.*
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"

struct walk {
	struct store *s;
	uint64_t run;
	struct error err;
};

enum { THREADS = 4096 };

struct tally {
	uint64_t kind[SIGHT_KINDS], unordered, largest;
	uint64_t last[THREADS];         /* by the thread's number, modulo */
	uint32_t thread[THREADS];
};

static void order(struct tally *t, const struct sighting *s)
{
	unsigned i = s->thread % THREADS;

	if (t->thread[i] == s->thread && s->time < t->last[i]) {
		t->unordered++;
		if (t->last[i] - s->time > t->largest)
			t->largest = t->last[i] - s->time;
	}
	t->thread[i] = s->thread;
	t->last[i] = s->time;
}

static int print_stream(void *ctx, const struct store_stream *st)
{
	static struct sighting s[SIGHT_CHUNK];
	static struct tally t;
	struct walk *w = ctx;
	int n;

	memset(&t, 0, sizeof(t));
	for (uint32_t chunk = 0; (n = store_sight_chunk(w->s, w->run, st->stream, chunk, s, SIGHT_CHUNK, &w->err)) > 0; chunk++) {
		for (int i = 0; i < n; i++) {
			t.kind[s[i].kind]++;
			if (sight_vantage(s[i].kind) != VANTAGE_MARK)
				order(&t, &s[i]);
		}
	}
	printf("stream %#x %s %u %llu %llu\n", st->stream, st->source, st->clock, (unsigned long long)st->events, (unsigned long long)st->lost);
	for (unsigned k = 0; k < SIGHT_KINDS; k++)
		if (t.kind[k])
			printf("kind %#x %s %llu\n", st->stream, sight_name(k), (unsigned long long)t.kind[k]);
	printf("unordered %#x %llu %llu\n", st->stream, (unsigned long long)t.unordered, (unsigned long long)t.largest);
	return n < 0 ? -1 : 0;
}

static int print_attr(void *ctx, const char *key, const char *text)
{
	(void)ctx;
	printf("attr %s %s\n", key, text);
	return 0;
}

int main(int argc, char **argv)
{
	struct walk w = { .err = { 0 } };

	if (argc != 3)
		return 2;
	w.s = store_open(argv[1], STORE_READ, &w.err);
	w.run = strtoull(argv[2], NULL, 10);
	if (!w.s || store_each_stream(w.s, w.run, print_stream, &w, &w.err) < 0 || store_each_attr(w.s, w.run, "vantage.", print_attr, NULL, &w.err) < 0 ||
	    store_each_attr(w.s, w.run, "absent.", print_attr, NULL, &w.err) < 0 || store_each_attr(w.s, w.run, "trace.", print_attr, NULL, &w.err) < 0) {
		fprintf(stderr, "%s\n", w.err.text);
		return 1;
	}
	store_close(w.s);
	return 0;
}
