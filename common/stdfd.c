/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/stdfd.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

void stdfd_fill(void)
{
	/* Lowest first, since open() gives the lowest that is free. */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			abort();
}
