// SPDX-License-Identifier: GPL-2.0-or-later
/* ioengine=psync: pread(2), pwrite(2) and fsync(2), one at a time whatever iodepth says. */
#include <errno.h>
#include <unistd.h>

#include "guest/job.h"

static int psync_open(struct job *j, struct error *err)
{
	(void)j;
	(void)err;
	return 0;
}

static void psync_close(struct job *j)
{
	(void)j;
}

static int32_t do_io(const struct job *j, const struct slot *s)
{
	ssize_t r;

	if (s->op == IO_READ)
		r = pread(j->fd, s->buf, s->length, (off_t)s->offset);
	else if (s->op == IO_WRITE)
		r = pwrite(j->fd, s->buf, s->length, (off_t)s->offset);
	else
		r = fsync(j->fd);
	return r < 0 ? -errno : (int32_t)r;
}

static void psync_run(struct job *j)
{
	while (job_open(j)) {
		struct slot *s = job_take(j);
		if (!s) {
			_mm_pause();
			j->now = tsc_read();
			continue;
		}
		job_stamp(j);
		int32_t result = do_io(j, s);
		j->now = tsc_read();
		job_complete(j, s, result, j->now);
	}
}

const struct engine engine_psync = {
	.name = "psync",
	.async = false,
	.open = psync_open,
	.run = psync_run,
	.close = psync_close,
};
