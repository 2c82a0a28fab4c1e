/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the running kernel's own type information (BTF) says: numbers of types, offsets of members.
 *
 * A few names are looked for, all in one pass: a general library takes seconds for this in an emulated guest.
 * The format: Documentation/bpf/btf.rst of the kernel.
 */
#ifndef BIFOCAL_GUEST_BPF_BTF_H
#define BIFOCAL_GUEST_BPF_BTF_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct btf_file {
	uint8_t *data;                /* heap */
	size_t size;
	const uint8_t *types, *strings;
	uint32_t types_len, strings_len;
	uint32_t first_id, first_string;   /* 1 and 0; of a module, what the kernel's own leave off at */
	uint32_t n_types;             /* known after btf_find() */
};

struct btf_want {
	uint8_t kind;                 /* BTF_KIND_STRUCT … */
	const char *name;
	uint32_t id;                  /* 0: not there */
	uint32_t at;                  /* of its description in `types` */
};

/* `base` NULL: the file is the kernel's own; else a module's, which goes on from the kernel's (after btf_find() of that one). */
int btf_read(struct btf_file *f, const char *path, const struct btf_file *base, struct error *err);
void btf_fini(struct btf_file *f);
/* Fills in id and at of all that is there: a module's own only. -1 when the file is damaged. */
int btf_find(struct btf_file *f, struct btf_want *want, size_t n, struct error *err);
/* Bytes from the beginning of the struct (or union) to the member, which may lie in an unnamed one. -1: no such member. */
int btf_offset(const struct btf_file *f, const struct btf_want *type, const char *member);

#endif
