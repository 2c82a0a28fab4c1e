/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/term.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH_MIN = 40, WIDTH_DEFAULT = 80, WIDTH_MAX = 400 };

int term_width(int fd)
{
	struct winsize ws;
	const char *columns = getenv("COLUMNS");
	long n = 0;
	if (isatty(fd) && !ioctl(fd, TIOCGWINSZ, &ws))
		n = ws.ws_col;
	if (n <= 0 && columns)
		n = strtol(columns, NULL, 10);
	if (n <= 0)
		n = WIDTH_DEFAULT;
	return n < WIDTH_MIN ? WIDTH_MIN : n > WIDTH_MAX ? WIDTH_MAX : (int)n;
}

bool term_colour(int fd)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	return isatty(fd) && !(no && *no) && !(term && !strcmp(term, "dumb"));
}

char *term_bar(double part, int columns, char *dst, size_t cap)
{
	static const char *const eighth[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	double clipped = part < 0 ? 0 : part > 1 ? 1 : part;
	int eighths = (int)(clipped * columns * 8 + 0.5);
	size_t used = 0;
	dst[0] = 0;
	for (int i = 0; i < columns; i++, eighths -= 8) {
		const char *cell = eighths >= 8 ? "█" : eighths > 0 ? eighth[eighths] : " ";
		size_t len = strlen(cell);
		if (used + len >= cap)
			break;
		memcpy(dst + used, cell, len + 1);
		used += len;
	}
	return dst;
}

int term_columns(const char *utf8)
{
	int n = 0;
	for (; *utf8; utf8++)
		n += ((unsigned char)*utf8 & 0xc0) != 0x80;
	return n;
}
