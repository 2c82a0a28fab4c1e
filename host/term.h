/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A terminal's width, colours and bars. */
#ifndef BIFOCAL_HOST_TERM_H
#define BIFOCAL_HOST_TERM_H

#include <stdbool.h>
#include <stddef.h>

/* Columns of the terminal behind `fd`; $COLUMNS, else 80, when it is none. */
int term_width(int fd);
/* Colour is wanted: `fd` is a terminal that is not dumb, and NO_COLOR is unset or empty. */
bool term_colour(int fd);
/* `part` of `columns` cells, filled in eighths, the rest blank; cap >= 3 * columns + 1. */
char *term_bar(double part, int columns, char *dst, size_t cap);
/* A bar on an axis of `columns` cells, over the part from `from` to `to` (0 … 1), never shorter than an eighth of a cell; the rest
 * is blank up to where it ends. cap >= 3 * columns + 1. */
char *term_span(double from, double to, int columns, char *dst, size_t cap);
/* The locale that LC_ALL, LC_CTYPE or LANG name, in this order, is one of UTF-8. */
bool term_utf8(void);
/* From here on what is printed to stdout is ASCII: signs that this program uses as the nearest there is, all others as '?'.
 * -1 without memory: nothing has changed. */
int term_ascii_stdout(void);
/* Columns that UTF-8 text takes on a terminal, for text without wide characters. */
int term_columns(const char *utf8);

#endif
