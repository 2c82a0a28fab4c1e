/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A verb's options as a table: parser, --help and the manual's check come from it.
 * "--name value", "--name=value", "-o value"; options and operands may be mixed; "--" ends the options.
 */
#ifndef BIFOCAL_HOST_ARGS_H
#define BIFOCAL_HOST_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/error.h"

enum { ARGS_LIST_MAX = 64, ARGS_OPERANDS_MAX = 8 };

struct args_list {
	const char *item[ARGS_LIST_MAX];   /* borrowed from argv */
	size_t n;
};

enum arg_kind {
	ARG_FLAG,          /* bool *: set to true */
	ARG_TEXT,          /* const char **: borrowed from argv */
	ARG_LIST,          /* struct args_list *: each use adds one */
	ARG_UINT,          /* uint64_t * */
};

struct arg_option {
	const char *name;          /* without its dashes; NULL ends the table */
	char letter;               /* short form, 0 for none */
	enum arg_kind kind;
	const char *value;         /* what --help calls it: "PATH"; NULL for a flag */
	const char *help;
	void *into;
};

/* Options that most verbs have. */
#define ARG_DB(into) { "db", 0, ARG_TEXT, "PATH", "database directory", into }
#define ARG_JSON(into) { "json", 0, ARG_FLAG, NULL, "print one JSON object", into }

struct arg_spec {
	const char *verb;          /* "export" */
	const char *operands;      /* "RUN", "" */
	const char *summary;
	const struct arg_option *options;
	size_t min, max;           /* operands */
	void (*epilog)(FILE *out); /* more help below the options; may be NULL */
};

struct args {
	const char *operand[ARGS_OPERANDS_MAX];
	size_t n;
};

/* 0: parsed. 1: --help was asked for and printed to stdout. -1: ERR_USAGE that names the nearest option. */
int args_parse(const struct arg_spec *spec, int argc, char **argv, struct args *out, struct error *err);
/* ERR_USAGE: unknown `what` "word", with the nearest of `words` (NULL-terminated) and `more` (where to read on). */
int args_unknown(struct error *err, const char *what, const char *word, const char *const words[], const char *more);

#endif
