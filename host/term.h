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
/* Columns that UTF-8 text takes on a terminal, for text without wide characters. */
int term_columns(const char *utf8);

#endif
