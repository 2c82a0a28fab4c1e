/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program started with descriptor 0, 1 or 2 closed gets that number for the next file it opens; were this the
 * database, the next line printed would go into it.
 */
#ifndef BIFOCAL_COMMON_STDFD_H
#define BIFOCAL_COMMON_STDFD_H

/* Puts /dev/null where a standard descriptor is closed, the wrong way round: using it is still the error (EBADF) that it was. First
 * of all in main(). */
void stdfd_fill(void);

#endif
