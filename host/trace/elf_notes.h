/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * USDT probes of a program: the notes that <sys/sdt.h> leaves in its ELF file, read without trusting a byte of it.
 *
 * Section .note.stapsdt holds one note a probe site (https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation):
 *
 *     0   name size u32 = 8      4   descriptor size u32      8   type u32 = 3      12  "stapsdt\0"
 *     20  address of the probe u64, of section .stapsdt.base at link time u64, of the semaphore u64 (0: none)
 *     44  provider \0 name \0 arguments \0                    padded to 4
 *
 * A file that was relinked (prelink) has its probes moved by as much as its .stapsdt.base. 64-bit little-endian files of x86 only. A parser of
 * our own instead of libelf: it needs three tables and no library on a collector node, and all of it is under a fuzzer.
 */
#ifndef BIFOCAL_HOST_TRACE_ELF_NOTES_H
#define BIFOCAL_HOST_TRACE_ELF_NOTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum {
	SDT_PROVIDER_MAX = 64, SDT_NAME_MAX = 128, SDT_ARGUMENTS_MAX = 512,
	SDT_FETCH_MAX = 96,
	/* A QEMU has some 3,000 probe sites of 150 bytes. */
	ELF_NOTES_MAX = 16 << 20,
	ELF_SECTIONS_MAX = 8192, ELF_SEGMENTS_MAX = 512,
};

struct sdt_probe {
	uint64_t offset;               /* of the probe's instruction in the file */
	uint64_t semaphore;            /* of its counter (u16) in the file; 0: none */
	char provider[SDT_PROVIDER_MAX], name[SDT_NAME_MAX];
	char arguments[SDT_ARGUMENTS_MAX];     /* "8@%rdi -4@-20(%rbp)" */
};

/* Calls `fn` for every site of `provider` (NULL: of any) until it returns non-zero, and returns that; 0 at the end, also when the file has no probes at
 * all. Notes whose texts are too long or not terminated, or whose address lies in no segment, are passed over. -1 with err when it is
 * no ELF file of x86-64, or its tables do not fit. */
int sdt_each(int fd, const char *provider, int (*fn)(void *ctx, const struct sdt_probe *p), void *ctx, struct error *err);

/* How many arguments the text has. */
unsigned sdt_arguments(const char *arguments);
/* Argument `n` (from 0) as a uprobe's fetch argument: "8@%rdi" → "%di:u64", "-4@-20(%rbp)" → "-20(%bp):s32", "4@$5" → "\5:u32". As `string`, what it
 * points to: "+0(%di):string". False when uprobes cannot say it: an indexed or symbolic operand, a vector register. */
bool sdt_fetch(const char *arguments, unsigned n, bool string, char dst[SDT_FETCH_MAX]);

#endif
