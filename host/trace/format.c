/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/trace/format.h"

#include <stdlib.h>
#include <string.h>

#include "host/trace/pages.h"

/* A line without its end; `rest` moves behind it. */
static struct span next_line(struct span *rest)
{
	const uint8_t *end = memchr(rest->p, '\n', rest->len);
	struct span line = { rest->p, end ? (size_t)(end - rest->p) : rest->len };
	size_t used = line.len + (end != NULL);
	rest->p += used;
	rest->len -= used;
	return line;
}

static void skip_blanks(struct span *s)
{
	while (s->len && (*s->p == ' ' || *s->p == '\t')) {
		s->p++;
		s->len--;
	}
}

/* Takes `word` off the front, and the blanks around it. */
static bool take_word(struct span *s, const char *word)
{
	size_t n = strlen(word);
	skip_blanks(s);
	if (s->len < n || memcmp(s->p, word, n) != 0)
		return false;
	s->p += n;
	s->len -= n;
	skip_blanks(s);
	return true;
}

/* Takes a decimal number of at most `max`, and the ';' behind it where there is one. */
static bool take_number(struct span *s, uint32_t max, uint32_t *v)
{
	uint32_t n = 0;
	size_t digits = 0;
	while (s->len && *s->p >= '0' && *s->p <= '9') {
		n = n * 10 + (uint32_t)(*s->p - '0');
		if (n > max)
			return false;
		digits++;
		s->p++;
		s->len--;
	}
	*v = n;
	if (s->len && *s->p == ';') {
		s->p++;
		s->len--;
	}
	return digits > 0;
}

static bool is_name(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool copy_name(const uint8_t *p, size_t n, char dst[FORMAT_NAME_MAX])
{
	if (!n || n >= FORMAT_NAME_MAX)
		return false;
	memcpy(dst, p, n);
	dst[n] = 0;
	return true;
}

/* "__data_loc char[] cmd", "char rwbs[10]", "const struct iovec * vec": the name is the last word that is not in brackets. */
static bool parse_declaration(struct span d, struct trace_field *f)
{
	size_t end = d.len;
	while (end && d.p[end - 1] == ' ')
		end--;
	if (end && d.p[end - 1] == ']') {
		while (end && d.p[end - 1] != '[')
			end--;
		if (!end)
			return false;
		end--;
		f->array = true;
	}
	size_t begin = end;
	while (begin && is_name(d.p[begin - 1]))
		begin--;
	static const char loc[] = "__data_loc ", rel[] = "__rel_loc ";
	f->data_loc = (d.len >= sizeof(loc) - 1 && !memcmp(d.p, loc, sizeof(loc) - 1)) ||
		      (d.len >= sizeof(rel) - 1 && !memcmp(d.p, rel, sizeof(rel) - 1));
	return copy_name(d.p + begin, end - begin, f->name);
}

/* What stands behind "field:". */
static bool parse_field(struct span line, struct trace_field *f)
{
	uint32_t offset, size, is_signed = 0;
	const uint8_t *semicolon = memchr(line.p, ';', line.len);
	if (!semicolon)
		return false;
	struct span declaration = { line.p, (size_t)(semicolon - line.p) };
	line.len -= declaration.len + 1;
	line.p = semicolon + 1;
	*f = (struct trace_field){ 0 };
	if (!parse_declaration(declaration, f) || !take_word(&line, "offset:") || !take_number(&line, UINT16_MAX, &offset) ||
	    !take_word(&line, "size:") || !take_number(&line, UINT16_MAX, &size) || offset + size > UINT16_MAX)
		return false;
	/* Old kernels do not say it. */
	if (take_word(&line, "signed:") && !take_number(&line, 1, &is_signed))
		return false;
	f->offset = (uint16_t)offset;
	f->size = (uint16_t)size;
	f->is_signed = is_signed;
	return true;
}

static int bad_line(struct error *err, const char *what, unsigned number, struct span line)
{
	char text[128];
	return error_set(err, ERR_PROTOCOL, "event format, line %u: %s: \"%s\"", number, what, span_text(line, text, sizeof(text)));
}

static int parse_line(struct span line, unsigned number, struct trace_format *f, bool *id, struct error *err)
{
	struct span whole = line;
	uint32_t v;
	if (take_word(&line, "field:")) {
		if (f->fields == FORMAT_FIELDS_MAX)
			return bad_line(err, "more fields than any event has", number, whole);
		if (!parse_field(line, &f->field[f->fields]))
			return bad_line(err, "not a field", number, whole);
		f->fields++;
	} else if (take_word(&line, "name:")) {
		while (line.len && !is_name(line.p[line.len - 1]))
			line.len--;
		if (!copy_name(line.p, line.len, f->name))
			return bad_line(err, "not an event's name", number, whole);
	} else if (take_word(&line, "ID:")) {
		if (!take_number(&line, UINT16_MAX, &v))
			return bad_line(err, "not an event's number", number, whole);
		f->id = (uint16_t)v;
		*id = true;
	}
	return 0;
}

static int parse(struct span text, struct trace_format *f, bool *id, struct error *err)
{
	*f = (struct trace_format){ 0 };
	*id = false;
	if (text.len > FORMAT_TEXT_MAX)
		return error_set(err, ERR_PROTOCOL, "event format of %zu bytes; at most %d are read", text.len, FORMAT_TEXT_MAX);
	for (unsigned number = 1; text.len; number++) {
		struct span line = next_line(&text), probe = line;
		if (take_word(&probe, "print fmt:"))
			break;
		if (parse_line(line, number, f, id, err))
			return -1;
	}
	return 0;
}

int format_parse(struct span text, struct trace_format *f, struct error *err)
{
	bool id;
	if (parse(text, f, &id, err))
		return -1;
	if (!f->name[0] || !id || !f->fields)
		return error_set(err, ERR_PROTOCOL, "event format%s%s: it lacks its %s", *f->name ? " of " : "", f->name,
				 !f->name[0] ? "name" : !id ? "ID" : "fields");
	return 0;
}

const struct trace_field *format_field(const struct trace_format *f, const char *name)
{
	for (unsigned i = 0; i < f->fields; i++)
		if (!strcmp(f->field[i].name, name))
			return &f->field[i];
	return NULL;
}

int format_header_page(struct span text, size_t *page_size, struct error *err)
{
	static const struct { const char *name; uint16_t offset, size; } want[] = { { "timestamp", 0, 8 }, { "commit", 8, 8 } };
	struct trace_format f;
	bool id;
	if (parse(text, &f, &id, err))
		return -1;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		const struct trace_field *g = format_field(&f, want[i].name);
		if (!g || g->offset != want[i].offset || g->size != want[i].size)
			return error_set(err, ERR_PROTOCOL, "header_page: %s is not where 64-bit kernels have it (offset %d, size %d)",
					 want[i].name, want[i].offset, want[i].size);
	}
	const struct trace_field *data = format_field(&f, "data");
	if (!data || data->offset != PAGE_HEADER || !data->size)
		return error_set(err, ERR_PROTOCOL, "header_page: the data do not begin at byte %d, as in 64-bit kernels", PAGE_HEADER);
	*page_size = (size_t)PAGE_HEADER + data->size;
	return 0;
}
