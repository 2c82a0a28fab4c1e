/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bifocal mine …: becomes bifocal-mine, so that a collector node needs neither cairo nor libxml2. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "host/cmd.h"
#include "host/paths.h"

int cmd_mine(int argc, char **argv, struct error *err)
{
	autofree char *program = path_program("bifocal-mine", err);
	if (!program)
		return -1;
	autofree char **args = calloc((size_t)argc + 2, sizeof(*args));
	if (!args)
		return error_set(err, ERR_LIMIT, "out of memory");
	/* The verb goes along: bifocal-mine has more of them. */
	args[0] = program;
	for (int i = 0; i < argc; i++)
		args[i + 1] = argv[i];
	execv(program, args);
	return error_sys(err, errno, "run %s", program);
}
