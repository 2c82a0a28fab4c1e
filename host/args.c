/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/args.h"

#include <string.h>

#include "common/units.h"
#include "host/term.h"

enum { HELP_COLUMN = 26 };

int args_unknown(struct error *err, const char *what, const char *word, const char *const words[], const char *more)
{
	const char *near = nearest_word(word, words);
	if (near)
		return error_set(err, ERR_USAGE, "unknown %s \"%s\"; did you mean \"%s\"?", what, word, near);
	return error_set(err, ERR_USAGE, "unknown %s \"%s\"; %s", what, word, more);
}

static int unknown_option(const struct arg_spec *spec, const char *given, size_t len, struct error *err)
{
	const char *names[64] = { "help" };
	size_t n = 1;
	for (const struct arg_option *o = spec->options; o->name && n < 63; o++)
		names[n++] = o->name;
	char word[128];
	snprintf(word, sizeof(word), "%.*s", (int)len, given);
	const char *near = nearest_word(word, names);
	if (near)
		return error_set(err, ERR_USAGE, "%s: unknown option \"--%s\"; did you mean \"--%s\"?", spec->verb, word, near);
	return error_set(err, ERR_USAGE, "%s: unknown option \"--%s\"; `bifocal %s --help` lists them", spec->verb, word, spec->verb);
}

static const struct arg_option *find_long(const struct arg_spec *spec, const char *name, size_t len)
{
	for (const struct arg_option *o = spec->options; o->name; o++)
		if (strlen(o->name) == len && !memcmp(o->name, name, len))
			return o;
	return NULL;
}

static const struct arg_option *find_letter(const struct arg_spec *spec, char letter)
{
	for (const struct arg_option *o = spec->options; o->name; o++)
		if (o->letter && o->letter == letter)
			return o;
	return NULL;
}

static int take_value(const struct arg_spec *spec, const struct arg_option *o, const char *value, struct error *err)
{
	switch (o->kind) {
	case ARG_FLAG:
		*(bool *)o->into = true;
		return 0;
	case ARG_TEXT:
		*(const char **)o->into = value;
		return 0;
	case ARG_LIST: {
		struct args_list *list = o->into;
		if (list->n == ARGS_LIST_MAX)
			return error_set(err, ERR_USAGE, "%s: --%s may be given %d times at most", spec->verb, o->name, ARGS_LIST_MAX);
		list->item[list->n++] = value;
		return 0;
	}
	case ARG_UINT:
		if (parse_uint(value, 0, UINT64_MAX, o->into, err))
			return error_prefix(err, "%s: --%s", spec->verb, o->name);
		return 0;
	}
	return 0;
}

/* One option at argv[*i]; moves *i on over the value it took. */
static int take_option(const struct arg_spec *spec, int argc, char **argv, int *i, struct error *err)
{
	const char *arg = argv[*i], *value = NULL;
	const struct arg_option *o;
	if (arg[1] == '-') {
		size_t len = strcspn(arg + 2, "=");
		o = find_long(spec, arg + 2, len);
		if (!o)
			return unknown_option(spec, arg + 2, len, err);
		if (arg[2 + len] == '=')
			value = arg + 2 + len + 1;
	} else {
		o = find_letter(spec, arg[1]);
		if (!o)
			return error_set(err, ERR_USAGE, "%s: unknown option \"%s\"; `bifocal %s --help` lists them", spec->verb, arg, spec->verb);
		if (arg[2])
			value = arg + 2;
	}
	if (o->kind == ARG_FLAG && value)
		return error_set(err, ERR_USAGE, "%s: --%s takes no value", spec->verb, o->name);
	if (o->kind != ARG_FLAG && !value) {
		if (*i + 1 >= argc)
			return error_set(err, ERR_USAGE, "%s: --%s needs a value: --%s %s", spec->verb, o->name, o->name, o->value);
		value = argv[++*i];
	}
	return take_value(spec, o, value, err);
}

/* printf's own padding counts bytes. */
static void print_row(const char *left, const char *help)
{
	int pad = HELP_COLUMN - term_columns(left);
	printf("  %s%*s %s\n", left, pad > 0 ? pad : 0, "", help);
}

static void print_help(const struct arg_spec *spec)
{
	printf("Usage: bifocal %s [options]%s%s\n\n%s\n\nOptions:\n", spec->verb, *spec->operands ? " " : "", spec->operands, spec->summary);
	for (const struct arg_option *o = spec->options; o->name; o++) {
		char left[64], letter[8] = "    ";
		if (o->letter)
			snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name, o->value ? " " : "", o->value ? o->value : "");
		print_row(left, o->help);
	}
	print_row("    --help", "this text");
	if (spec->epilog)
		spec->epilog(stdout);
}

static int add_operand(const struct arg_spec *spec, struct args *out, const char *arg, struct error *err)
{
	if (out->n == spec->max || out->n == ARGS_OPERANDS_MAX)
		return error_set(err, ERR_USAGE, "%s: \"%s\" is one argument too many; usage: bifocal %s %s", spec->verb, arg, spec->verb, spec->operands);
	out->operand[out->n++] = arg;
	return 0;
}

int args_parse(const struct arg_spec *spec, int argc, char **argv, struct args *out, struct error *err)
{
	bool options = true;
	*out = (struct args){ 0 };
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		int failed;
		if (options && !strcmp(arg, "--")) {
			options = false;
			continue;
		}
		if (options && (!strcmp(arg, "--help") || !strcmp(arg, "-h"))) {
			print_help(spec);
			return 1;
		}
		if (options && arg[0] == '-' && arg[1])
			failed = take_option(spec, argc, argv, &i, err);
		else
			failed = add_operand(spec, out, arg, err);
		if (failed)
			return -1;
	}
	if (out->n < spec->min)
		return error_set(err, ERR_USAGE, "%s: something is missing; usage: bifocal %s [options] %s", spec->verb, spec->verb, spec->operands);
	return 0;
}
