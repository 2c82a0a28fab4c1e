/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What BPF programs leave becomes sightings; programs are whole; the kernel's type information is read, and damaged one refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <linux/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/bpf_btf.h"
#include "guest/bpf_prog.h"

static void test_sightings(void **state)
{
	(void)state;
	struct bpf_record r = { .count = 100, .where = 64, .length = 4096, .device = 5, .thread = 7, .op = 1, .kind = SIGHT_G_ISSUE };
	struct sighting s;

	assert_true(bpf_sighting(&r, UINT64_MAX, &s));     /* a TSC that wraps */
	assert_int_equal(s.time, 99);
	assert_int_equal(s.sector, 64);
	assert_int_equal(s.length, 4096);
	assert_int_equal(s.op, IO_WRITE);
	assert_int_equal(s.flags, 0);
	assert_int_equal(s.device, 5);
	assert_int_equal(s.thread, 7);
	r = (struct bpf_record){ .where = 64, .length = 512, .kind = SIGHT_G_COMPLETE, .status = 10 };
	assert_true(bpf_sighting(&r, 0, &s));
	assert_int_equal(s.key, EIO);
	r = (struct bpf_record){ .where = UINT64_MAX, .op = 1 | BPF_OP_FLUSHES, .kind = SIGHT_G_QUEUE };
	assert_true(bpf_sighting(&r, 0, &s));
	assert_int_equal(s.op, IO_FLUSH);
	assert_int_equal(s.flags, SIGHT_NO_PLACE);
	r = (struct bpf_record){ .where = 8, .length = 4096, .op = 1 | BPF_OP_FLUSHES, .kind = SIGHT_G_QUEUE };
	assert_true(bpf_sighting(&r, 0, &s));
	assert_int_equal(s.op, IO_WRITE);
	r = (struct bpf_record){ .where = 8, .op = 1, .kind = SIGHT_G_COMPLETE };
	assert_false(bpf_sighting(&r, 0, &s));             /* an empty write */
	r = (struct bpf_record){ .where = 100, .length = 2048, .kind = SIGHT_G_SPLIT };
	assert_true(bpf_sighting(&r, 0, &s));
	assert_int_equal(s.key, 104);
	r = (struct bpf_record){ .where = 0xffff888000000000, .kind = SIGHT_G_KICK };
	assert_true(bpf_sighting(&r, 0, &s));
	assert_int_equal(s.key, 0xffff888000000000);
	assert_int_equal(s.op, SIGHT_OP_NONE);
	r.kind = 0;
	assert_false(bpf_sighting(&r, 0, &s));             /* never completed */
}

static void expect_whole(const struct bpf_prog *p)
{
	assert_true(p->n > 0 && p->n < BPF_PROG_MAX);
	assert_int_equal(p->insn[p->n - 1].code, BPF_JMP | BPF_EXIT);
	for (unsigned i = 0; i < p->n; i++) {
		uint8_t code = p->insn[i].code;
		if ((code & 7) == BPF_JMP && (code & 0xf0) != BPF_CALL && (code & 0xf0) != BPF_EXIT)
			assert_in_range((int)i + 1 + p->insn[i].off, i + 1, p->n - 1);
	}
}

static void test_programs(void **state)
{
	(void)state;
	static struct bpf_prog p;
	const struct bpf_maps m = { 3, 4, 5, 8, 1000 };
	const struct bpf_layout l = { .bio_sector = 32 };

	for (unsigned shape = BPF_SHAPE_BIO; shape <= BPF_SHAPE_KEY_OF; shape++) {
		bpf_record_prog(&p, &m, &l, (enum bpf_shape)shape, 1, SIGHT_G_ISSUE);
		expect_whole(&p);
	}
	bpf_calibrate_prog(&p, &m, &l);
	expect_whole(&p);
}

/* ---- BTF: struct outer { int a; union { int b; int c; }; } and a typedef of it ---- */

static const char strings[] = "\0outer\0a\0b\0c\0int\0alias";
static struct {
	struct btf_header h;
	struct btf_type num; uint32_t num_info;
	struct btf_type either; struct btf_member of[2];
	struct btf_type outer; struct btf_member in[2];
	struct btf_type alias;
	char text[sizeof(strings)];
} __attribute__((packed)) made;

static void make(void)
{
	uint32_t at = offsetof(__typeof__(made), text) - sizeof(made.h);
	made.h = (struct btf_header){ .magic = BTF_MAGIC, .version = 1, .hdr_len = sizeof(made.h), .type_len = at, .str_off = at, .str_len = sizeof(strings) };
	made.num = (struct btf_type){ .name_off = 13, .info = BTF_KIND_INT << 24, .size = 4 };
	made.either = (struct btf_type){ .info = BTF_KIND_UNION << 24 | 2, .size = 4 };
	made.of[0] = (struct btf_member){ 9, 1, 0 };
	made.of[1] = (struct btf_member){ 11, 1, 0 };
	made.outer = (struct btf_type){ .name_off = 1, .info = BTF_KIND_STRUCT << 24 | 2, .size = 8 };
	made.in[0] = (struct btf_member){ 7, 1, 0 };
	made.in[1] = (struct btf_member){ 0, 2, 32 };
	made.alias = (struct btf_type){ .name_off = 17, .info = BTF_KIND_TYPEDEF << 24, .type = 3 };
	memcpy(made.text, strings, sizeof(strings));
}

static int find(struct btf_file *f, struct btf_want want[2], size_t size)
{
	char path[] = "/tmp/bifocal-btf.XXXXXX";
	struct error err = { 0 };
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, &made, size), (ssize_t)size);
	close(fd);
	want[0] = (struct btf_want){ .kind = BTF_KIND_STRUCT, .name = "outer" };
	want[1] = (struct btf_want){ .kind = BTF_KIND_TYPEDEF, .name = "alias" };
	int bad = btf_read(f, path, NULL, &err) || btf_find(f, want, 2, &err);
	unlink(path);
	assert_int_equal(bad != 0, err.code != 0);
	return bad;
}

static void test_btf(void **state)
{
	(void)state;
	struct btf_file f;
	struct btf_want want[2];

	make();
	assert_int_equal(find(&f, want, sizeof(made)), 0);
	assert_int_equal(f.n_types, 4);
	assert_int_equal(want[0].id, 3);
	assert_int_equal(want[1].id, 4);
	assert_int_equal(btf_offset(&f, &want[0], "a"), 0);
	assert_int_equal(btf_offset(&f, &want[0], "c"), 4);
	assert_int_equal(btf_offset(&f, &want[0], "d"), -1);
	assert_int_equal(btf_offset(&f, &want[1], "a"), -1);
	btf_fini(&f);
}

static void test_btf_damaged(void **state)
{
	(void)state;
	struct btf_file f;
	struct btf_want want[2];

	for (size_t size = 0; size < sizeof(made); size++) {
		make();
		assert_true(find(&f, want, size));
		btf_fini(&f);
	}
	/* Any one bit: no fault, whatever comes of it. */
	for (size_t bit = 0; bit < sizeof(made) * 8; bit++) {
		make();
		((uint8_t *)&made)[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (!find(&f, want, sizeof(made)))
			btf_offset(&f, &want[0], "c");
		btf_fini(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sightings),
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_btf),
		cmocka_unit_test(test_btf_damaged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
