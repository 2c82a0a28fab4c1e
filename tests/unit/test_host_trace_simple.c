/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simple backend's binary file. Debian's QEMU cannot write one: the writer here follows QEMU's own reader (scripts/simpletrace.py):
 * header '=QQQ', then '=Q' record type, mapping '=Q' id '=L' length name, or record header '=QQII' and arguments '=Q' or '=L' + text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/trace/simple_file.h"

#define EVENTS_ALL "/usr/share/qemu/trace-events-all"

static struct qemu_events_state state;
static struct simple_file file;
static struct wbuf w;

/* ---- the writer ---- */

static void header(uint64_t version)
{
	put_u64(&w, UINT64_MAX);
	put_u64(&w, UINT64_C(0xf2b177cb0aa429b4));
	put_u64(&w, version);
}

static void mapping(uint64_t id, const char *name)
{
	put_u64(&w, 0);
	put_u64(&w, id);
	put_blob(&w, name, strlen(name));
}

static void record_front(uint64_t id, uint64_t ns, uint32_t payload)
{
	put_u64(&w, 1);
	put_u64(&w, id);
	put_u64(&w, ns);
	put_u32(&w, 24 + payload);
	put_u32(&w, 4711);
}

static void record(uint64_t id, uint64_t ns, size_t n, const uint64_t *args)
{
	record_front(id, ns, (uint32_t)(8 * n));
	for (size_t i = 0; i < n; i++)
		put_u64(&w, args[i]);
}

#define RECORD(id, ns, ...) record(id, ns, sizeof((uint64_t[]){ __VA_ARGS__ }) / 8, (uint64_t[]){ __VA_ARGS__ })

enum { ID_READ = 100, ID_NOTIFY = 101, ID_IDE = 4000, ID_LURING = 7, ID_OTHER = 8 };

static void begin(void)
{
	header(4);
	mapping(ID_OTHER, "kvm_run_exit");
	mapping(ID_READ, "virtio_blk_handle_read");
	mapping(ID_NOTIFY, "virtio_queue_notify");
	mapping(ID_IDE, "ide_dma_cb");
	mapping(ID_LURING, "luring_co_submit");
}

static int fresh(void **unused)
{
	(void)unused;
	memset(&state, 0, sizeof(state));
	simple_init(&file, &state);
	wbuf_fini(&w);
	wbuf_heap(&w, 1 << 20);
	return 0;
}

static int done(void **unused)
{
	(void)unused;
	wbuf_fini(&w);
	return 0;
}

/* ---- the reader ---- */

struct seen { size_t n; struct sighting s[64]; };

static int see(void *ctx, const struct sighting *s)
{
	struct seen *seen = ctx;

	if (seen->n < 64)
		seen->s[seen->n] = *s;
	seen->n++;
	return 0;
}

static struct seen read_whole(void)
{
	struct seen seen = { 0 };
	struct error err = { 0 };
	ptrdiff_t took = simple_feed(&file, w.p, w.len, see, &seen, &err);

	if (took < 0)
		fail_msg("%s", err.text);
	assert_int_equal(took, w.len);
	return seen;
}

static void expect_error(enum err_code code, const char *words)
{
	struct seen seen = { 0 };
	struct error err = { 0 };

	assert_int_equal(simple_feed(&file, w.p, w.len, see, &seen, &err), -1);
	assert_int_equal(err.code, code);
	if (!strstr(err.text, words))
		fail_msg("%s", err.text);
}

static void test_events(void **unused)
{
	(void)unused;
	begin();
	RECORD(ID_NOTIFY, 1000, 0x55, 0, 0x66);
	RECORD(ID_READ, 1001, 0x55, 0x77, 418400, 8);
	RECORD(ID_OTHER, 1002, 1, 2, 3);
	record_front(ID_IDE, 1003, 8 * 3 + 4 + 8);
	put_u64(&w, 0x99);
	put_u64(&w, 286960);
	put_u64(&w, 8);
	put_blob(&w, "DMA READ", 8);
	struct seen seen = read_whole();
	assert_int_equal(seen.n, 3);
	assert_int_equal(seen.s[0].kind, SIGHT_V_NOTIFY);
	assert_int_equal(seen.s[0].time, 1000);
	assert_int_equal(seen.s[0].key, 0x66);
	assert_int_equal(seen.s[0].thread, 0);
	assert_int_equal(seen.s[1].kind, SIGHT_V_START);
	assert_int_equal(seen.s[1].key, 0x77);
	assert_int_equal(seen.s[1].sector, 418400);
	assert_int_equal(seen.s[1].length, 4096);
	assert_int_equal(seen.s[1].device, seen.s[0].device);
	assert_int_equal(seen.s[2].kind, SIGHT_V_IDE_DMA);
	assert_int_equal(seen.s[2].op, IO_READ);
	assert_int_equal(file.foreign, 1);
	assert_int_equal(file.records, 4);
}

/* One name, two releases' arguments: told apart by how many there are. */
static void test_forms(void **unused)
{
	(void)unused;
	begin();
	RECORD(ID_LURING, 1, 0x1, 0x2, 0x7f, 12, 4096, 512, 1);
	RECORD(ID_LURING, 2, 0x1, 0x7e, 12, 8192, 512, 2);
	RECORD(ID_LURING, 3, 0x1, 0x7e, 12);
	struct seen seen = read_whole();
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.s[0].key, 0x7f);
	assert_int_equal(seen.s[0].sector, 8);
	assert_int_equal(seen.s[1].key, 0x7e);
	assert_int_equal(seen.s[1].op, IO_WRITE);
	assert_int_equal(file.malformed, 1);
}

static void test_dropped(void **unused)
{
	(void)unused;
	begin();
	RECORD(UINT64_MAX - 1, 5, 42);
	struct seen seen = read_whole();
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.s[0].kind, SIGHT_LOST);
	assert_int_equal(seen.s[0].key, 42);
	assert_int_equal(file.dropped, 42);
}

/* The same sightings however the file is cut; a cut-off record stays offered. */
static void test_pieces(void **unused)
{
	(void)unused;
	begin();
	for (uint64_t i = 0; i < 20; i++)
		RECORD(ID_READ, i, 0x55, i, i * 8, 8);
	for (size_t piece = 1; piece < 60; piece += 7) {
		struct seen seen = { 0 };
		struct error err = { 0 };
		size_t from = 0, end = 0;

		simple_init(&file, &state);
		while (end < w.len - 3) {
			end = end + piece < w.len - 3 ? end + piece : w.len - 3;
			ptrdiff_t took = simple_feed(&file, w.p + from, end - from, see, &seen, &err);
			assert_true(took >= 0);
			from += (size_t)took;
		}
		assert_int_equal(seen.n, 19);
		assert_int_equal(w.len - from, 8 + 24 + 32);
	}
}

static void test_not_a_file(void **unused)
{
	(void)unused;
	put_bytes(&w, "435@1795458274.947715:virtio", 28);
	expect_error(ERR_CORRUPT, "does not begin as one");
	wbuf_reset(&w);
	header(3);
	expect_error(ERR_VERSION, "version 3");
}

static void test_broken_records(void **unused)
{
	(void)unused;
	begin();
	put_u64(&w, 2);
	expect_error(ERR_CORRUPT, "type 2");
	fresh(NULL);
	begin();
	put_u64(&w, 1);
	put_u64(&w, ID_READ);
	put_u64(&w, 1);
	put_u32(&w, 23);
	put_u32(&w, 0);
	expect_error(ERR_CORRUPT, "23 bytes");
	fresh(NULL);
	begin();
	record_front(ID_READ, 1, SIMPLE_RECORD_MAX);
	expect_error(ERR_CORRUPT, "at byte");
	fresh(NULL);
	header(4);
	put_u64(&w, 0);
	put_u64(&w, 1);
	put_u32(&w, SIMPLE_NAME_MAX + 1);
	expect_error(ERR_CORRUPT, "name of 1025 bytes");
}

/* Text that claims more than its record holds, an id out of bounds: counted. */
static void test_lies(void **unused)
{
	(void)unused;
	begin();
	mapping(SIMPLE_IDS, "virtio_queue_notify");
	RECORD(SIMPLE_IDS, 1, 1, 2, 3);
	record_front(ID_IDE, 1003, 8 * 3 + 4);
	put_u64(&w, 0x99);
	put_u64(&w, 286960);
	put_u64(&w, 8);
	put_u32(&w, 0xffffffff);
	RECORD(ID_READ, 2, 0x55, 0x77, 418400, 8);
	struct seen seen = read_whole();
	assert_int_equal(seen.n, 1);
	assert_int_equal(file.foreign, 1);
	assert_int_equal(file.malformed, 1);
}

static int end_it(void *ctx, const struct sighting *s)
{
	(void)ctx;
	(void)s;
	return 1;
}

static void test_ended(void **unused)
{
	struct error err = { 0 };

	(void)unused;
	begin();
	RECORD(ID_NOTIFY, 1, 1, 2, 3);
	assert_int_equal(simple_feed(&file, w.p, w.len, end_it, NULL, &err), -1);
	assert_int_equal(err.code, ERR_NONE);
}

/* ---- the table against the events of the QEMU that is installed ---- */

/* "name(type a, const char *b) …": 's' for a text, 'u' for a number. */
static void argument_kinds(const char *args, char kinds[QEMU_ARGS_MAX + 2])
{
	size_t n = 0;

	for (const char *end = strchr(args, ')'), *p = args; end && p < end && strncmp(p, "void)", 5) && n <= QEMU_ARGS_MAX;) {
		const char *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma ? comma : end;

		kinds[n++] = memmem(p, (size_t)(stop - p), "char", 4) ? 's' : 'u';
		p = comma ? comma + 1 : end;
	}
	kinds[n] = '\0';
}

static bool row_fits(const struct qemu_event *e, const char *kinds)
{
	size_t n = 0;

	for (const char *c = e->format; *c; c++)
		if (*c == '%' && ((*++c == 's') != (kinds[n++] == 's') || !kinds[n - 1]))
			return false;
	return !kinds[n];
}

static unsigned check_declaration(const char *line)
{
	const char *open = strchr(line, '(');
	char kinds[QEMU_ARGS_MAX + 2];
	size_t length = open ? (size_t)(open - line) : 0, i = length ? qemu_event_find(line, length, 0) : qemu_events_count;

	if (i == qemu_events_count)
		return 0;
	argument_kinds(open + 1, kinds);
	for (; i < qemu_events_count; i = qemu_event_find(line, length, i + 1))
		if (row_fits(&qemu_events[i], kinds))
			return 1;
	fail_msg("QEMU has other arguments: %s", line);
	return 0;
}

static void test_table_against_qemu(void **unused)
{
	FILE *f = fopen(EVENTS_ALL, "re");
	static char text[4096];
	unsigned found = 0;

	(void)unused;
	if (!f) {
		print_message("# SKIP no " EVENTS_ALL ": QEMU's package does not bring its list of events\n");
		skip();
	}
	while (fgets(text, sizeof(text), f))
		found += check_declaration(text);
	fclose(f);
	assert_in_range(found, 35, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_events, fresh, done),
		cmocka_unit_test_setup_teardown(test_forms, fresh, done),
		cmocka_unit_test_setup_teardown(test_dropped, fresh, done),
		cmocka_unit_test_setup_teardown(test_pieces, fresh, done),
		cmocka_unit_test_setup_teardown(test_not_a_file, fresh, done),
		cmocka_unit_test_setup_teardown(test_broken_records, fresh, done),
		cmocka_unit_test_setup_teardown(test_lies, fresh, done),
		cmocka_unit_test_setup_teardown(test_ended, fresh, done),
		cmocka_unit_test(test_table_against_qemu),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
