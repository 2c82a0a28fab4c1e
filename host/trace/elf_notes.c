/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/trace/elf_notes.h"

#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/cleanup.h"

/* ---- the file's tables ---- */

struct elf {
	int fd;
	Elf64_Ehdr header;
	Elf64_Shdr *section;
	Elf64_Phdr *segment;
	unsigned sections, segments;
};

static bool read_at(int fd, uint64_t at, void *dst, size_t n)
{
	size_t got = 0;

	if (at > INT64_MAX - n)
		return false;
	while (got < n) {
		ssize_t k = pread(fd, (char *)dst + got, n - got, (off_t)(at + got));
		if (k <= 0 && !(k < 0 && errno == EINTR))
			return false;
		got += k > 0 ? (size_t)k : 0;
	}
	return true;
}

static void elf_close(struct elf *e)
{
	free(e->section);
	free(e->segment);
}

/* A table of `n` entries, on the heap; NULL when it is none, too long or not all there. */
static void *read_table(int fd, uint64_t at, size_t n, size_t size, size_t n_max)
{
	void *table = n && n <= n_max ? calloc(n, size) : NULL;

	if (table && read_at(fd, at, table, n * size))
		return table;
	free(table);
	return NULL;
}

static int elf_open(struct elf *e, int fd, struct error *err)
{
	*e = (struct elf){ .fd = fd };
	const Elf64_Ehdr *h = &e->header;
	if (!read_at(fd, 0, &e->header, sizeof(e->header)) || memcmp(h->e_ident, ELFMAG, SELFMAG) || h->e_ident[EI_CLASS] != ELFCLASS64 ||
	    h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_X86_64)
		return error_set(err, ERR_CORRUPT, "not an ELF file of x86-64");
	if (h->e_shentsize != sizeof(Elf64_Shdr) || h->e_phentsize != sizeof(Elf64_Phdr))
		return error_set(err, ERR_CORRUPT, "an ELF file with tables of another shape");
	e->section = read_table(fd, h->e_shoff, h->e_shnum, sizeof(Elf64_Shdr), ELF_SECTIONS_MAX);
	e->segment = read_table(fd, h->e_phoff, h->e_phnum, sizeof(Elf64_Phdr), ELF_SEGMENTS_MAX);
	if (!e->section || !e->segment || h->e_shstrndx >= h->e_shnum) {
		elf_close(e);
		return error_set(err, ERR_CORRUPT, "an ELF file without section and segment tables, or with broken ones");
	}
	e->sections = h->e_shnum;
	e->segments = h->e_phnum;
	return 0;
}

static const Elf64_Shdr *find_section(const struct elf *e, const char *name)
{
	const Elf64_Shdr *names = &e->section[e->header.e_shstrndx];
	char text[32];
	size_t len = strlen(name) + 1;

	for (unsigned i = 0; i < e->sections; i++) {
		const Elf64_Shdr *s = &e->section[i];
		if (s->sh_name >= names->sh_size || names->sh_size - s->sh_name < len || names->sh_offset > UINT64_MAX - s->sh_name)
			continue;
		if (read_at(e->fd, names->sh_offset + s->sh_name, text, len) && memcmp(text, name, len) == 0)
			return s;
	}
	return NULL;
}

/* Where in the file lies what will be at `address`; false when no segment loads it. */
static bool to_offset(const struct elf *e, uint64_t address, uint64_t *offset)
{
	for (unsigned i = 0; i < e->segments; i++) {
		const Elf64_Phdr *p = &e->segment[i];
		if (p->p_type != PT_LOAD || address < p->p_vaddr || address - p->p_vaddr >= p->p_filesz)
			continue;
		*offset = address - p->p_vaddr + p->p_offset;
		return *offset >= p->p_offset;
	}
	return false;
}

/* ---- notes ---- */

/* A terminated text, copied; false when there is none or it is too long. */
static bool take_text(struct rbuf *r, char *dst, size_t cap)
{
	const uint8_t *end = memchr(r->p, 0, rbuf_left(r));
	size_t len = end ? (size_t)(end - r->p) : cap;

	if (len >= cap)
		return false;
	memcpy(dst, get_bytes(r, len + 1).p, len + 1);
	return true;
}

static bool parse_note(const struct elf *e, uint64_t base, struct span text, struct sdt_probe *p)
{
	struct rbuf r;

	rbuf_init(&r, text.p, text.len);
	uint64_t pc = get_u64(&r), linked = get_u64(&r), semaphore = get_u64(&r);
	if (r.bad || !take_text(&r, p->provider, sizeof(p->provider)) || !take_text(&r, p->name, sizeof(p->name)) ||
	    !take_text(&r, p->arguments, sizeof(p->arguments)))
		return false;
	uint64_t moved = base && linked ? base - linked : 0;
	p->semaphore = 0;
	return to_offset(e, pc + moved, &p->offset) && (!semaphore || to_offset(e, semaphore + moved, &p->semaphore));
}

static uint32_t padded(uint32_t n)
{
	return (n + 3) & ~3u;
}

static int each_note(const struct elf *e, uint64_t base, struct span notes, const char *provider,
		     int (*fn)(void *ctx, const struct sdt_probe *p), void *ctx)
{
	static const uint32_t type = 3;
	struct rbuf r;
	int rc = 0;

	rbuf_init(&r, notes.p, notes.len);
	while (!rc && rbuf_left(&r) >= 12) {
		struct sdt_probe p;
		uint32_t name_size = get_u32(&r), size = get_u32(&r), is = get_u32(&r);

		if (name_size > notes.len || size > notes.len)
			break;
		struct span name = get_bytes(&r, padded(name_size)), text = get_bytes(&r, padded(size));
		if (r.bad)
			break;
		text.len = size;
		if (is == type && name_size == 8 && memcmp(name.p, "stapsdt", 8) == 0 && parse_note(e, base, text, &p) &&
		    (!provider || strcmp(p.provider, provider) == 0))
			rc = fn(ctx, &p);
	}
	return rc;
}

int sdt_each(int fd, const char *provider, int (*fn)(void *ctx, const struct sdt_probe *p), void *ctx, struct error *err)
{
	struct elf e;
	int rc = 0;

	if (elf_open(&e, fd, err))
		return -1;
	const Elf64_Shdr *notes = find_section(&e, ".note.stapsdt"), *base = find_section(&e, ".stapsdt.base");
	if (notes && notes->sh_type == SHT_NOTE && notes->sh_size) {
		autofree uint8_t *text = read_table(fd, notes->sh_offset, notes->sh_size, 1, ELF_NOTES_MAX);
		if (text)
			rc = each_note(&e, base ? base->sh_addr : 0, (struct span){ text, notes->sh_size }, provider, fn, ctx);
		else
			rc = error_set(err, ERR_CORRUPT, "an ELF file whose probe notes do not lie in it");
	}
	elf_close(&e);
	return rc;
}

/* ---- arguments ---- */

static const char *argument_at(const char *arguments, unsigned n, size_t *len)
{
	const char *at = arguments + strspn(arguments, " ");

	while (*at && n--) {
		at += strcspn(at, " ");
		at += strspn(at, " ");
	}
	*len = strcspn(at, " ");
	return at;
}

unsigned sdt_arguments(const char *arguments)
{
	unsigned n = 0;
	size_t len;

	while (*argument_at(arguments, n, &len))
		n++;
	return n;
}

/* A register by any of its names → the kernel's name of the whole. NULL when it is none, or its second byte. */
static const char *whole_register(const char *name, size_t len)
{
	static const char *const old[][5] = {
		{ "ax", "rax", "eax", "al", "ax" }, { "bx", "rbx", "ebx", "bl", "bx" }, { "cx", "rcx", "ecx", "cl", "cx" },
		{ "dx", "rdx", "edx", "dl", "dx" }, { "si", "rsi", "esi", "sil", "si" }, { "di", "rdi", "edi", "dil", "di" },
		{ "bp", "rbp", "ebp", "bpl", "bp" }, { "sp", "rsp", "esp", "spl", "sp" },
	};
	static const char *const numbered[] = { "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };

	for (size_t i = 0; i < 8; i++)
		for (size_t k = 1; k < 5; k++)
			if (strlen(old[i][k]) == len && memcmp(old[i][k], name, len) == 0)
				return old[i][0];
	for (size_t i = 0; i < 8; i++) {
		size_t n = strlen(numbered[i]);
		if ((len == n || (len == n + 1 && strchr("dwb", name[n]))) && memcmp(numbered[i], name, n) == 0)
			return numbered[i];
	}
	return NULL;
}

/* A sum of numbers, "64+8", "-0x14": true when it is all of [at, end). */
static bool take_sum(const char *at, const char *end, int64_t *sum)
{
	*sum = 0;
	while (at < end) {
		char *after;
		if (!isdigit((unsigned char)*at) && !((*at == '-' || *at == '+') && isdigit((unsigned char)at[1])))
			return false;
		errno = 0;
		long long v = strtoll(at, &after, 0);
		if (errno || after > end || __builtin_add_overflow(*sum, v, sum))
			return false;
		at = after;
	}
	return true;
}

/* "-20(%rbp)" → "-20(%bp)". */
static bool fetch_memory(const char *at, const char *end, char *dst, size_t cap)
{
	const char *open = memchr(at, '(', (size_t)(end - at));
	int64_t offset;

	if (!open || end[-1] != ')' || end - open < 4 || open[1] != '%' || !take_sum(at, open, &offset))
		return false;
	const char *reg = whole_register(open + 2, (size_t)(end - open) - 3);
	if (!reg)
		return false;
	snprintf(dst, cap, "%+lld(%%%s)", (long long)offset, reg);
	return true;
}

static bool fetch_operand(const char *at, const char *end, char *dst, size_t cap)
{
	int64_t value;

	if (at == end)
		return false;
	if (*at == '$') {
		if (at + 1 == end || !take_sum(at + 1, end, &value))
			return false;
		snprintf(dst, cap, "\\%lld", (long long)value);
		return true;
	}
	if (*at != '%')
		return fetch_memory(at, end, dst, cap);
	const char *reg = whole_register(at + 1, (size_t)(end - at) - 1);
	if (reg)
		snprintf(dst, cap, "%%%s", reg);
	return reg != NULL;
}

bool sdt_fetch(const char *arguments, unsigned n, bool string, char dst[SDT_FETCH_MAX])
{
	char operand[SDT_FETCH_MAX - 24];
	size_t len;
	const char *at = argument_at(arguments, n, &len), *end = at + len, *sign = at;

	at += *at == '-';
	if (end - at < 3 || !strchr("1248", *at) || at[1] != '@' || !fetch_operand(at + 2, end, operand, sizeof(operand)))
		return false;
	if (string && operand[0] == '\\')
		return false;
	if (string)
		snprintf(dst, SDT_FETCH_MAX, "+0(%s):string", operand);
	else
		snprintf(dst, SDT_FETCH_MAX, "%s:%c%d", operand, *sign == '-' ? 's' : 'u', (*at - '0') * 8);
	return true;
}
