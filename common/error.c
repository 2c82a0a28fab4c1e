/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/error.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* A message that was cut must not end in half a UTF-8 character. */
static void trim_partial_char(char *text, size_t len)
{
	size_t back = 0;
	while (back < 3 && back < len && ((unsigned char)text[len - 1 - back] & 0xc0) == 0x80)
		back++;
	if (back == len)
		return;
	unsigned char lead = (unsigned char)text[len - 1 - back];
	size_t wants = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
	if (wants > back + 1)
		text[len - 1 - back] = '\0';
}

static void append_text(struct error *e, size_t at, const char *text)
{
	size_t room = sizeof(e->text) - at;
	if ((size_t)snprintf(e->text + at, room, "%s", text) >= room)
		trim_partial_char(e->text, sizeof(e->text) - 1);
}

int error_vset(struct error *e, enum err_code code, const char *fmt, va_list ap)
{
	if (!e)
		return -1;
	e->code = code;
	e->sys = 0;
	/* Formatted aside, since an argument may well be this error's own old text. */
	char text[sizeof(e->text)];
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	if (n < 0)
		snprintf(text, sizeof(text), "%s", fmt);
	else if ((size_t)n >= sizeof(text))
		trim_partial_char(text, sizeof(text) - 1);
	memcpy(e->text, text, sizeof(text));
	return -1;
}

int error_set(struct error *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	error_vset(e, code, fmt, ap);
	va_end(ap);
	return -1;
}

static enum err_code code_of_errno(int errnum)
{
	switch (errnum) {
	case ENOSPC:
	case EDQUOT:
		return ERR_NO_SPACE;
	case ENOENT:
		return ERR_NOT_FOUND;
	default:
		return ERR_IO;
	}
}

int error_sys(struct error *e, int errnum, const char *fmt, ...)
{
	if (!e)
		return -1;
	va_list ap;
	va_start(ap, fmt);
	error_vset(e, code_of_errno(errnum), fmt, ap);
	va_end(ap);
	e->sys = errnum;
	char reason[128];
	/* The GNU strerror_r may return a string of its own instead of filling ours. */
	const char *why = strerror_r(errnum, reason, sizeof(reason));
	char tail[sizeof(reason) + 2];
	snprintf(tail, sizeof(tail), ": %s", why);
	append_text(e, strlen(e->text), tail);
	return -1;
}

int error_prefix(struct error *e, const char *fmt, ...)
{
	if (!e)
		return -1;
	char old[sizeof(e->text)];
	memcpy(old, e->text, sizeof(old));
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	if (n < 0)
		e->text[0] = '\0';
	append_text(e, strlen(e->text), ": ");
	append_text(e, strlen(e->text), old);
	return -1;
}

enum exit_code error_exit_code(const struct error *e)
{
	if (!e || e->code == ERR_NONE)
		return EXIT_DONE;
	return e->code == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}
