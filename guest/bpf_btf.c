// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/bpf_btf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SIZE_MAX_BTF = 64 << 20,      /* Debian's kernel has 4.2 MiB */
	DEPTH_MAX = 8,
};

static int damaged(struct error *err)
{
	return error_set(err, ERR_PROTOCOL, "the kernel's BTF cannot be understood");
}

static int read_all(struct btf_file *f, const char *path, struct error *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(struct btf_header) || st.st_size > SIZE_MAX_BTF) {
		error_set(err, ERR_IO, "%s: %s", path, fd < 0 ? strerror(errno) : "its size is none of BTF");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	f->size = (size_t)st.st_size;
	f->data = malloc(f->size);
	for (ssize_t n = 1; f->data && have < f->size && n > 0; have += n > 0 ? (size_t)n : 0)
		n = read(fd, f->data + have, f->size - have);
	close(fd);
	return f->data && have == f->size ? 0 : error_set(err, ERR_IO, "%s: it cannot be read", path);
}

int btf_read(struct btf_file *f, const char *path, const struct btf_file *base, struct error *err)
{
	struct btf_header h;

	*f = (struct btf_file){ .first_id = base ? base->first_id + base->n_types : 1, .first_string = base ? base->strings_len : 0 };
	if (read_all(f, path, err))
		return -1;
	memcpy(&h, f->data, sizeof(h));
	if (h.magic != BTF_MAGIC || h.version != BTF_VERSION || h.hdr_len > f->size || h.type_off % 4 || h.hdr_len % 4 ||
	    (uint64_t)h.hdr_len + h.type_off + h.type_len > f->size || (uint64_t)h.hdr_len + h.str_off + h.str_len > f->size || !h.str_len)
		return damaged(err);
	f->types = f->data + h.hdr_len + h.type_off;
	f->types_len = h.type_len;
	f->strings = f->data + h.hdr_len + h.str_off;
	f->strings_len = h.str_len;
	return f->strings[h.str_len - 1] ? damaged(err) : 0;
}

void btf_fini(struct btf_file *f)
{
	free(f->data);
	*f = (struct btf_file){ 0 };
}

static const char *text(const struct btf_file *f, uint32_t at)
{
	return at >= f->first_string && at - f->first_string < f->strings_len ? (const char *)f->strings + (at - f->first_string) : "";
}

/* Bytes behind struct btf_type, by its kind; -1 for one that nobody has told us of. */
static int64_t tail(uint32_t info)
{
	int64_t n = BTF_INFO_VLEN(info);

	switch (BTF_INFO_KIND(info)) {
	case BTF_KIND_INT: case BTF_KIND_VAR: case BTF_KIND_DECL_TAG: return 4;
	case BTF_KIND_ARRAY: return sizeof(struct btf_array);
	case BTF_KIND_STRUCT: case BTF_KIND_UNION: return n * (int64_t)sizeof(struct btf_member);
	case BTF_KIND_ENUM: return n * (int64_t)sizeof(struct btf_enum);
	case BTF_KIND_ENUM64: return n * 12;
	case BTF_KIND_FUNC_PROTO: return n * (int64_t)sizeof(struct btf_param);
	case BTF_KIND_DATASEC: return n * (int64_t)sizeof(struct btf_var_secinfo);
	case BTF_KIND_PTR: case BTF_KIND_FWD: case BTF_KIND_TYPEDEF: case BTF_KIND_VOLATILE: case BTF_KIND_CONST: case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC: case BTF_KIND_FLOAT: case BTF_KIND_TYPE_TAG: return 0;
	default: return -1;
	}
}

/* The type at `at`, and where the next one begins; false at the end. */
static bool next_type(const struct btf_file *f, uint32_t *at, struct btf_type *t)
{
	if (f->types_len - *at < sizeof(*t))
		return false;
	memcpy(t, f->types + *at, sizeof(*t));
	int64_t more = tail(t->info);
	if (more < 0 || (uint64_t)more > f->types_len - *at - sizeof(*t))
		return false;
	*at += (uint32_t)(sizeof(*t) + (uint64_t)more);
	return true;
}

int btf_find(struct btf_file *f, struct btf_want *want, size_t n, struct error *err)
{
	struct btf_type t;
	uint32_t kinds = 0, next = 0;

	for (size_t i = 0; i < n; i++)
		kinds |= 1u << want[i].kind;
	f->n_types = 0;
	for (uint32_t at = 0; next_type(f, &next, &t); at = next, f->n_types++) {
		if (!t.name_off || !(kinds >> BTF_INFO_KIND(t.info) & 1))
			continue;
		const char *name = text(f, t.name_off);
		for (size_t i = 0; i < n; i++) {
			if (want[i].name[0] != name[0] || want[i].id || want[i].kind != BTF_INFO_KIND(t.info) || strcmp(want[i].name, name) != 0)
				continue;
			want[i].id = f->first_id + f->n_types;
			want[i].at = at;
		}
	}
	return next == f->types_len ? 0 : damaged(err);
}

static bool type_at(const struct btf_file *f, uint32_t id, uint32_t *at, struct btf_type *t)
{
	uint32_t next = 0;

	if (id < f->first_id)
		return false;
	for (uint32_t i = f->first_id;; i++) {
		*at = next;
		if (!next_type(f, &next, t))
			return false;
		if (i == id)
			return true;
	}
}

static int64_t bits_to(const struct btf_file *f, uint32_t at, const char *member, unsigned depth)
{
	struct btf_type t, inner;
	struct btf_member m;
	uint32_t end = at, where;

	if (depth == DEPTH_MAX || !next_type(f, &end, &t) || (BTF_INFO_KIND(t.info) != BTF_KIND_STRUCT && BTF_INFO_KIND(t.info) != BTF_KIND_UNION))
		return -1;
	/* Unnamed members come second: to find their types takes a walk. */
	for (unsigned unnamed = 0; unnamed < 2; unnamed++) {
		for (uint32_t i = at + (uint32_t)sizeof(t); i < end; i += (uint32_t)sizeof(m)) {
			memcpy(&m, f->types + i, sizeof(m));
			int64_t bits = BTF_INFO_KFLAG(t.info) ? BTF_MEMBER_BIT_OFFSET(m.offset) : m.offset, more;
			if (!unnamed && m.name_off && strcmp(text(f, m.name_off), member) == 0)
				return bits;
			if (unnamed && !m.name_off && type_at(f, m.type, &where, &inner) && (more = bits_to(f, where, member, depth + 1)) >= 0)
				return bits + more;
		}
	}
	return -1;
}

int btf_offset(const struct btf_file *f, const struct btf_want *type, const char *member)
{
	int64_t bits = type->id ? bits_to(f, type->at, member, 0) : -1;

	/* Loads are made with offsets of 16 bits. */
	return bits < 0 || bits % 8 || bits / 8 > INT16_MAX ? -1 : (int)(bits / 8);
}
