/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How an event's records are laid out, as tracefs tells it in events/SYSTEM/EVENT/format:
 *
 *     name: block_rq_issue
 *     ID: 2104
 *     format:
 *             field:unsigned short common_type;	offset:0;	size:2;	signed:0;
 *             field:char rwbs[10];	offset:34;	size:10;	signed:0;
 *             field:__data_loc char[] cmd;	offset:60;	size:4;	signed:0;
 *
 *     print fmt: …
 *
 * The same for kprobes and uprobes, whose last fields are their fetch arguments. The text may come from a guest: it is hostile.
 */
#ifndef BIFOCAL_HOST_TRACE_FORMAT_H
#define BIFOCAL_HOST_TRACE_FORMAT_H

#include <stdbool.h>

#include "common/bytes.h"
#include "common/error.h"

enum {
	FORMAT_NAME_MAX = 64,          /* the kernel's MAX_EVENT_NAME_LEN, and the bound of a probe argument's name is half of it */
	FORMAT_FIELDS_MAX = 64,        /* the longest of a 6.18 kernel has 43; a probe of ours a handful */
	FORMAT_TEXT_MAX = 64 << 10,    /* kvm_exit's, the longest of those we use, is 9 KiB */
};

struct trace_field {
	char name[FORMAT_NAME_MAX];    /* "nr_sector", "rwbs" */
	uint16_t offset, size;         /* bytes, from the record's first */
	bool is_signed;
	bool array;                    /* char rwbs[10] */
	bool data_loc;                 /* offset | length << 16 of the data proper, in four bytes */
};

struct trace_format {
	char name[FORMAT_NAME_MAX];    /* "block_rq_issue" */
	uint16_t id;                   /* what common_type says in its records */
	uint16_t fields;
	struct trace_field field[FORMAT_FIELDS_MAX];
};

/* Parses the whole text; `print fmt` is not looked at. ERR_PROTOCOL names the line. */
int format_parse(struct span text, struct trace_format *f, struct error *err);
/* NULL if there is none of that name. Lives in `f`. */
const struct trace_field *format_field(const struct trace_format *f, const char *name);

/* Checks events/header_page against what pages.h reads: 64-bit little-endian pages whose data begin at byte 16. ERR_PROTOCOL
 * says what differs. The bytes of a page, header included, in *page_size. */
int format_header_page(struct span text, size_t *page_size, struct error *err);

#endif
