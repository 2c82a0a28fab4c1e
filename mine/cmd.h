/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs of bifocal-mine. */
#ifndef BIFOCAL_MINE_CMD_H
#define BIFOCAL_MINE_CMD_H

#include "common/error.h"

/* argv[0] is the verb. Returns an exit code; with EXIT_FAILED or EXIT_USAGE err says why. */
enum exit_code cmd_mine(int argc, char **argv, struct error *err);

#endif
