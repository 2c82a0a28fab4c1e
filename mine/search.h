/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where templates and their schema are found, and files read whole. */
#ifndef BIFOCAL_MINE_SEARCH_H
#define BIFOCAL_MINE_SEARCH_H

#include <stddef.h>

#include "common/error.h"

/* malloc'd contents, NUL-terminated beyond `*len`; a regular file of at most `max` bytes. */
char *file_read(const char *path, size_t max, size_t *len, struct error *err);

/* malloc'd path of `file` in the first template folder that has it; NULL with err. */
char *search_template_file(const char *file, struct error *err);
/* NULL-terminated, malloc'd names of the *.xml there, less ".xml", sorted, each once; free with search_names_free. */
char **search_template_names(struct error *err);
void search_names_free(char **names);
/* "./templates, /usr/share/bifocal/templates": for messages. */
char *search_template_places(char *dst, size_t cap);

#endif
