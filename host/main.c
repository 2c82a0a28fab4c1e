/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bifocal, the Controller: finds the verb, runs it, turns its error into words and an exit code. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/stdfd.h"
#include "common/version.h"
#include "host/args.h"
#include "host/cmd.h"

struct verb {
	const char *words;
	int (*function)(int argc, char **argv, struct error *err);
	const char *help;
};

static const struct verb verbs[] = {
#define V(words, function, help) { words, function, help },
	VERB_TABLE(V)
#undef V
};

enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

static void print_help(void)
{
	printf("Usage: bifocal VERB [options]\n\n"
	       "Where does the time of a KVM guest's disk request go, and how sure are we?\n\nVerbs:\n");
	for (size_t i = 0; i < VERBS; i++)
		printf("  %-14s %s\n", verbs[i].words, verbs[i].help);
	printf("\nOptions:\n"
	       "  --help         this text; after a verb, that verb's\n"
	       "  --version      version of bifocal\n\n"
	       "Exit codes: 0 done, 1 failed, 2 usage, 3 partial: something was lost and is counted.\n"
	       "Manual: bifocal(1).\n");
}

/* How many leading arguments are this verb's words; 0 when they are not. */
static int words_match(const char *words, int argc, char **argv)
{
	int n = 0;
	for (const char *p = words; *p;) {
		size_t len = strcspn(p, " ");
		if (n >= argc || strlen(argv[n]) != len || memcmp(argv[n], p, len))
			return 0;
		n++;
		p += len + (p[len] == ' ');
	}
	return n;
}

static const struct verb *find_verb(int argc, char **argv, int *words)
{
	for (size_t i = 0; i < VERBS; i++) {
		*words = words_match(verbs[i].words, argc, argv);
		if (*words)
			return &verbs[i];
	}
	return NULL;
}

static int unknown_verb(int argc, char **argv, struct error *err)
{
	const char *names[VERBS + 1] = { 0 };
	char typed[128];
	size_t len = strlen(argv[0]);
	/* "db chekc" is compared as two words, "lsit" as one. */
	bool two = false;
	for (size_t i = 0; i < VERBS; i++) {
		names[i] = verbs[i].words;
		two = two || (!strncmp(verbs[i].words, argv[0], len) && verbs[i].words[len] == ' ');
	}
	if (two && argc < 2)
		return error_set(err, ERR_USAGE, "\"%s\" needs a second word; `bifocal --help` lists the verbs", argv[0]);
	snprintf(typed, sizeof(typed), "%s%s%s", argv[0], two ? " " : "", two ? argv[1] : "");
	return args_unknown(err, "verb", typed, names, "`bifocal --help` lists them");
}

static int run_verb(int argc, char **argv, struct error *err)
{
	int words;
	if (argc < 1) {
		print_help();
		return EXIT_USAGE;
	}
	if (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h") || !strcmp(argv[0], "help")) {
		print_help();
		return EXIT_DONE;
	}
	if (!strcmp(argv[0], "--version")) {
		printf("bifocal %s\n", BIFOCAL_VERSION);
		return EXIT_DONE;
	}
	const struct verb *v = find_verb(argc, argv, &words);
	if (!v)
		return unknown_verb(argc, argv, err);
	return v->function(argc - words + 1, argv + words - 1, err);
}

int main(int argc, char **argv)
{
	struct error err = { 0 };
	stdfd_fill();
	setlocale(LC_CTYPE, "C.UTF-8");
	log_init("bifocal", LOG_WARN_LEVEL);
	int code = run_verb(argc - 1, argv + 1, &err);
	if (code < 0) {
		fprintf(stderr, "bifocal: %s\n", err.text);
		code = (int)error_exit_code(&err);
	}
	/* A full disk or a closed pipe behind stdout is a failure too, not silence. */
	int why = fflush(stdout) ? errno : 0;
	if (why || ferror(stdout)) {
		fprintf(stderr, "bifocal: write to standard output: %s\n", why ? strerror(why) : "a part of it could not be written");
		code = EXIT_FAILED;
	}
	return code;
}
