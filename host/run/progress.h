/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One line on stderr that says how far a study is; nothing at all when stderr is no terminal. */
#ifndef BIFOCAL_HOST_RUN_PROGRESS_H
#define BIFOCAL_HOST_RUN_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool on;
	unsigned runs, run;            /* in all; the current one, from 1 */
	char cell[160];                /* what the run is */
	uint64_t drawn_ns;
};

/* `runs`: how many there will be. */
void progress_init(struct progress *p, unsigned runs);
void progress_run(struct progress *p, unsigned run, const char *cell);
/* `part` in [0, 1], negative when how long it takes is unknown. */
void progress_show(struct progress *p, const char *stage, double part);
/* Takes the line away, so that something can be printed. */
void progress_clear(struct progress *p);

#endif
