/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/open.h"

#include <stdio.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/units.h"
#include "host/paths.h"

struct store *open_database(const char *option, enum store_mode mode, struct error *err)
{
	autofree char *path = path_database(option, err);
	if (!path || !*path) {
		if (path)
			error_set(err, ERR_USAGE, "--db: an empty path");
		return NULL;
	}
	return store_open(path, mode, err);
}

int parse_run(const char *text, uint64_t *run, struct error *err)
{
	if (!strcmp(text, "last")) {
		*run = UINT64_MAX;
		return 0;
	}
	if (parse_uint(text, 1, UINT64_MAX - 1, run, NULL))
		return error_set(err, ERR_USAGE, "\"%s\" is no run: give a number from `bifocal list`, or \"last\"", text);
	return 0;
}

static bool plain(const char *word)
{
	return *word && !word[strcspn(word, " \t\n\"'\\$`*?[]{}()<>|&;#~!")];
}

static void put_quoted(struct wbuf *w, const char *word)
{
	put_u8(w, '\'');
	for (; *word; word++) {
		if (*word == '\'')
			put_bytes(w, "'\\''", 4);
		else
			put_u8(w, (uint8_t)*word);
	}
	put_u8(w, '\'');
}

char *command_line(int argc, char **argv, struct error *err)
{
	struct wbuf w;
	wbuf_heap(&w, STORE_TEXT_MAX / 2);
	put_bytes(&w, "bifocal", 7);
	for (int i = 0; i < argc; i++) {
		put_u8(&w, ' ');
		if (plain(argv[i]))
			put_bytes(&w, argv[i], strlen(argv[i]));
		else
			put_quoted(&w, argv[i]);
	}
	put_u8(&w, 0);
	if (w.bad) {
		wbuf_fini(&w);
		error_set(err, ERR_LIMIT, "the command line is too long to be stored");
		return NULL;
	}
	return (char *)w.p;
}
