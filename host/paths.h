/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where Bifocal's own files are, and the user's. */
#ifndef BIFOCAL_HOST_PATHS_H
#define BIFOCAL_HOST_PATHS_H

#include "common/error.h"

/* All give a malloc'd path, or NULL with err. */

/* $BIFOCAL_DATA, else ../share/bifocal from the executable's own directory: plugins/, templates/, image/. */
char *path_data_dir(struct error *err);
/* `option` (--db) if not NULL, else $BIFOCAL_DB, else $XDG_DATA_HOME/bifocal/db or ~/.local/share/bifocal/db. */
char *path_database(const char *option, struct error *err);
/* Directories where --probe NAME looks, most particular first; NULL-terminated, freed with path_list_free().
 * ./plugins, $BIFOCAL_PLUGIN_PATH (colon-separated), the XDG data directory's bifocal/plugins, the data directory's plugins. */
char **path_plugin_dirs(struct error *err);
void path_list_free(char **list);
/* A program beside the running executable, else found in $PATH. */
char *path_program(const char *name, struct error *err);
/* "dir/name" */
char *path_join(const char *dir, const char *name, struct error *err);

#endif
