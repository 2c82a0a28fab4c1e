/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bifocal-mine: what `bifocal mine` becomes. Charts and statistics out of the database. */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "common/stdfd.h"
#include "common/units.h"
#include "common/version.h"
#include "mine/cmd.h"

static const struct {
	const char *name;
	enum exit_code (*run)(int argc, char **argv, struct error *err);
	const char *text;
} verbs[] = {
	{ "mine", cmd_mine, "report, charts and statistics by template" },
};

enum { VERBS = sizeof(verbs) / sizeof(*verbs) };

static void print_help(void)
{
	fputs("usage: bifocal-mine VERB …\n\n", stdout);
	for (size_t i = 0; i < VERBS; i++)
		printf("  %-10s %s\n", verbs[i].name, verbs[i].text);
	fputs("\n`bifocal-mine VERB --help` has more. Usually called as `bifocal VERB`.\n", stdout);
}

static enum exit_code unknown_verb(const char *word, struct error *err)
{
	const char *words[VERBS + 1] = { 0 };
	for (size_t i = 0; i < VERBS; i++)
		words[i] = verbs[i].name;
	const char *near = nearest_word(word, words);
	error_set(err, ERR_USAGE, "no verb \"%s\"; %s%s", word, near ? "did you mean " : "`bifocal-mine --help` lists them", near ? near : "");
	return EXIT_USAGE;
}

static enum exit_code run(int argc, char **argv, struct error *err)
{
	const char *word = argc > 1 ? argv[1] : "--help";
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
		print_help();
		return argc > 1 ? EXIT_DONE : EXIT_USAGE;
	}
	if (strcmp(word, "--version") == 0) {
		puts("bifocal-mine " BIFOCAL_VERSION);
		return EXIT_DONE;
	}
	for (size_t i = 0; i < VERBS; i++)
		if (strcmp(word, verbs[i].name) == 0)
			return verbs[i].run(argc - 1, argv + 1, err);
	return unknown_verb(word, err);
}

int main(int argc, char **argv)
{
	stdfd_fill();
	/* UTF-8 for pango; numbers stay in the C locale, so that files are the same everywhere. */
	setlocale(LC_CTYPE, "C.UTF-8");
	struct error err = { 0 };
	enum exit_code code = run(argc, argv, &err);
	if (err.code != ERR_NONE && code != EXIT_DONE && code != EXIT_PARTIAL)
		fprintf(stderr, "bifocal-mine: %s\n", err.text);
	if (fflush(stdout)) {
		fputs("bifocal-mine: stdout: cannot be written\n", stderr);
		return EXIT_FAILED;
	}
	return (int)code;
}
