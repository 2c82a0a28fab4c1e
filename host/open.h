/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What several verbs begin with: the database, and a run's number. */
#ifndef BIFOCAL_HOST_OPEN_H
#define BIFOCAL_HOST_OPEN_H

#include "store/store.h"

/* `option`: --db or NULL. For writing, the directories above the database are made, too. */
struct store *open_database(const char *option, enum store_mode mode, struct error *err);
/* "7" or "last" (UINT64_MAX, as the store takes it). */
int parse_run(const char *text, uint64_t *run, struct error *err);
/* argv as one shell-quoted line; malloc'd. */
char *command_line(int argc, char **argv, struct error *err);

#endif
