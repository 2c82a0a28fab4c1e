/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lua/pattern.h"

#include <string.h>

enum kind { SINGLE, BALANCE, FRONTIER, BACKREF, OPEN, CLOSE, AT, END };
enum repeat { ONCE, STAR, PLUS, LAZY, MAYBE };

struct set { uint32_t bits[8]; };

struct item {
	struct set set;               /* SINGLE and FRONTIER */
	uint8_t kind, repeat;
	uint8_t a, b;                 /* BALANCE: the two characters; BACKREF, OPEN, CLOSE, AT: a is the capture */
};

struct pattern {
	bool anchored;
	unsigned captures;
	size_t n;
	struct item item[];
};

static void set_add(struct set *s, unsigned c) { s->bits[c >> 5] |= 1u << (c & 31); }
static bool set_has(const struct set *s, unsigned char c) { return s->bits[c >> 5] >> (c & 31) & 1; }

static void set_range(struct set *s, unsigned from, unsigned to)
{
	for (unsigned c = from; c <= to; c++)
		set_add(s, c);
}

static void set_invert(struct set *s)
{
	for (int i = 0; i < 8; i++)
		s->bits[i] = ~s->bits[i];
}

static bool is_letter(unsigned char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }
static bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }

/* The class that a lower-case letter names; false if it names none. */
static bool class_set(unsigned char letter, struct set *s)
{
	static const struct { char letter, ranges[9]; } classes[] = {
		{ 'a', "AZaz" }, { 'd', "09" }, { 'l', "az" }, { 'u', "AZ" }, { 'w', "09AZaz" }, { 'x', "09AFaf" },
		{ 's', "\t\r  " }, { 'p', "!/:@[`{~" }, { 'g', "!~" },
	};
	if (letter == 'c') {
		set_range(s, 0, 31);
		set_add(s, 127);
		return true;
	}
	if (letter == 'z') {          /* obsolete, and still understood by Lua 5.4 */
		set_add(s, 0);
		return true;
	}
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		if (classes[i].letter != letter)
			continue;
		for (const char *r = classes[i].ranges; r < classes[i].ranges + 8 && *r; r += 2)
			set_range(s, (unsigned char)r[0], (unsigned char)r[1]);
		return true;
	}
	return false;
}

/* Adds what %c stands for: a class, a class's complement, or the character itself. */
static void add_escape(struct set *s, unsigned char c)
{
	struct set class = { 0 };
	if (!is_letter(c) || !class_set(c | 32, &class)) {
		set_add(s, c);
		return;
	}
	if (!(c & 32))
		set_invert(&class);
	for (int i = 0; i < 8; i++)
		s->bits[i] |= class.bits[i];
}

struct compiler {
	struct pattern *p;
	const char *at, *end;
	uint8_t open[PATTERN_CAPTURES];
	unsigned n_open;
};

/* c->at stands behind '['. The first character is never the closing bracket. */
static const char *compile_set(struct compiler *c, struct set *s)
{
	bool inverted = c->at < c->end && *c->at == '^';
	const char *first = c->at += inverted;
	for (; c->at < c->end && (*c->at != ']' || c->at == first); c->at++) {
		unsigned char ch = (unsigned char)*c->at;
		if (ch == '%') {
			if (++c->at == c->end)
				break;
			add_escape(s, (unsigned char)*c->at);
		} else if (c->end - c->at > 2 && c->at[1] == '-' && c->at[2] != ']') {
			c->at += 2;
			set_range(s, ch, (unsigned char)*c->at);
		} else {
			set_add(s, ch);
		}
	}
	if (c->at == c->end)
		return "malformed pattern (missing ']')";
	c->at++;
	if (inverted)
		set_invert(s);
	return NULL;
}

static const char *compile_backref(struct compiler *c, struct item *it)
{
	unsigned k = (unsigned)(*c->at++ - '0');
	bool closed = k >= 1 && k <= c->p->captures;
	for (unsigned i = 0; i < c->n_open; i++)
		closed = closed && c->open[i] != k - 1;
	if (!closed)
		return "invalid capture index in pattern: it names no capture closed before";
	it->kind = BACKREF;
	it->a = (uint8_t)(k - 1);
	return NULL;
}

/* c->at stands behind '%', and there is a character. Sets `single` if a repetition may follow. */
static const char *compile_escape(struct compiler *c, struct item *it, bool *single)
{
	if (is_digit((unsigned char)*c->at))
		return compile_backref(c, it);
	unsigned char ch = (unsigned char)*c->at++;
	if (ch == 'b') {
		if (c->end - c->at < 2)
			return "malformed pattern (missing arguments to '%b')";
		it->kind = BALANCE;
		it->a = (uint8_t)*c->at++;
		it->b = (uint8_t)*c->at++;
		return NULL;
	}
	if (ch == 'f') {
		if (c->at == c->end || *c->at++ != '[')
			return "missing '[' after '%f' in pattern";
		it->kind = FRONTIER;
		return compile_set(c, &it->set);
	}
	add_escape(&it->set, ch);
	*single = true;
	return NULL;
}

static const char *compile_open(struct compiler *c, struct item *it)
{
	if (c->p->captures == PATTERN_CAPTURES)
		return "too many captures";
	it->a = (uint8_t)c->p->captures++;
	it->kind = OPEN;
	if (c->at < c->end && *c->at == ')') {
		c->at++;
		it->kind = AT;
	} else {
		c->open[c->n_open++] = it->a;
	}
	return NULL;
}

static const char *compile_close(struct compiler *c, struct item *it)
{
	if (c->n_open == 0)
		return "invalid pattern capture";
	it->kind = CLOSE;
	it->a = c->open[--c->n_open];
	return NULL;
}

static void compile_repeat(struct compiler *c, struct item *it)
{
	static const char signs[] = "*+-?";
	const char *sign = c->at < c->end && *c->at ? strchr(signs, *c->at) : NULL;
	if (!sign)
		return;
	it->repeat = (uint8_t)(STAR + (sign - signs));
	c->at++;
}

static const char *compile_item(struct compiler *c, struct item *it)
{
	const char *fault = NULL;
	bool single = false;
	unsigned char ch = (unsigned char)*c->at++;
	switch (ch) {
	case '(':
		return compile_open(c, it);
	case ')':
		return compile_close(c, it);
	case '%':
		fault = c->at == c->end ? "malformed pattern (ends with '%')" : compile_escape(c, it, &single);
		break;
	case '[':
		single = true;
		fault = compile_set(c, &it->set);
		break;
	case '.':
		single = true;
		set_invert(&it->set);
		break;
	case '$':
		if (c->at == c->end) {
			it->kind = END;
			break;
		}
		/* fall through */
	default:
		single = true;
		set_add(&it->set, ch);
	}
	if (single && !fault)
		compile_repeat(c, it);
	return fault;
}

size_t pattern_size(size_t len)
{
	return sizeof(struct pattern) + len * sizeof(struct item);
}

const char *pattern_compile(struct pattern *p, const char *text, size_t len, bool anchors)
{
	struct compiler c = { .p = p, .at = text, .end = text + len };
	p->n = p->captures = 0;
	p->anchored = anchors && len && *text == '^';
	c.at += p->anchored;
	while (c.at < c.end) {
		struct item *it = &p->item[p->n++];
		*it = (struct item){ .kind = SINGLE };
		const char *fault = compile_item(&c, it);
		if (fault)
			return fault;
	}
	return c.n_open ? "unfinished capture" : NULL;
}

bool pattern_anchored(const struct pattern *p)
{
	return p->anchored;
}

bool pattern_special(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] && strchr("^$*+?.([%-", text[i]))
			return true;
	return false;
}

struct matcher {
	const struct pattern *p;
	const char *s, *end;
	uint64_t *steps;
	unsigned depth;
	enum pattern_result fault;    /* PATTERN_NO while there is none */
	struct pattern_match *m;
};

static bool step(struct matcher *m, size_t n)
{
	if (*m->steps > n) {
		*m->steps -= n;
		return true;
	}
	*m->steps = 0;
	m->fault = PATTERN_SPENT;
	return false;
}

static bool single(const struct matcher *m, const struct item *it, const char *s)
{
	return s < m->end && set_has(&it->set, (unsigned char)*s);
}

/* Each of these gives where the item's match at s ends, or NULL. */

static const char *match_balance(struct matcher *m, const struct item *it, const char *s)
{
	if (s == m->end || (uint8_t)*s != it->a)
		return NULL;
	const char *from = s;
	size_t level = 1;
	while (++s < m->end) {
		uint8_t c = (uint8_t)*s;
		if (c == it->b && --level == 0)
			break;
		if (c != it->b && c == it->a)
			level++;
	}
	return step(m, (size_t)(s - from)) && s < m->end ? s + 1 : NULL;
}

static const char *match_frontier(const struct matcher *m, const struct item *it, const char *s)
{
	unsigned char before = s == m->s ? 0 : (unsigned char)s[-1];
	unsigned char after = s == m->end ? 0 : (unsigned char)*s;
	return !set_has(&it->set, before) && set_has(&it->set, after) ? s : NULL;
}

static const char *match_backref(struct matcher *m, const struct item *it, const char *s)
{
	const struct pattern_capture *c = &m->m->capture[it->a];
	if (c->len == PATTERN_POSITION || m->end - s < c->len || !step(m, (size_t)c->len / 8))
		return NULL;
	return memcmp(c->at, s, (size_t)c->len) == 0 ? s + c->len : NULL;
}

static const char *match_capture(struct matcher *m, const struct item *it, const char *s)
{
	struct pattern_capture *c = &m->m->capture[it->a];
	if (it->kind == CLOSE)
		c->len = s - c->at;
	else
		*c = (struct pattern_capture){ .at = s, .len = PATTERN_POSITION };
	return s;
}

static const char *match_from(struct matcher *m, size_t i, const char *s);

static const char *match_rest(struct matcher *m, size_t i, const char *s)
{
	if (m->depth == PATTERN_DEPTH) {
		m->fault = PATTERN_COMPLEX;
		return NULL;
	}
	m->depth++;
	const char *e = match_from(m, i, s);
	m->depth--;
	return e;
}

static const char *match_greedy(struct matcher *m, size_t i, const char *s)
{
	const struct item *it = &m->p->item[i];
	const char *last = s;
	while (single(m, it, last))
		last++;
	if (!step(m, (size_t)(last - s)))
		return NULL;
	for (const char *least = s + (it->repeat == PLUS); last >= least; last--) {
		const char *e = match_rest(m, i + 1, last);
		if (e || m->fault)
			return e;
	}
	return NULL;
}

static const char *match_lazy(struct matcher *m, size_t i, const char *s)
{
	for (;; s++) {
		const char *e = match_rest(m, i + 1, s);
		if (e || m->fault || !single(m, &m->p->item[i], s))
			return e;
	}
}

static const char *match_maybe(struct matcher *m, size_t i, const char *s)
{
	if (single(m, &m->p->item[i], s)) {
		const char *e = match_rest(m, i + 1, s + 1);
		if (e || m->fault)
			return e;
	}
	return match_rest(m, i + 1, s);
}

static const char *match_repeated(struct matcher *m, size_t i, const char *s)
{
	switch (m->p->item[i].repeat) {
	case LAZY:
		return match_lazy(m, i, s);
	case MAYBE:
		return match_maybe(m, i, s);
	default:
		return match_greedy(m, i, s);
	}
}

static const char *match_item(struct matcher *m, const struct item *it, const char *s)
{
	switch (it->kind) {
	case SINGLE:
		return single(m, it, s) ? s + 1 : NULL;
	case BALANCE:
		return match_balance(m, it, s);
	case FRONTIER:
		return match_frontier(m, it, s);
	case BACKREF:
		return match_backref(m, it, s);
	case END:
		return s == m->end ? s : NULL;
	default:
		return match_capture(m, it, s);
	}
}

static const char *match_from(struct matcher *m, size_t i, const char *s)
{
	for (; s && i < m->p->n; i++) {
		if (!step(m, 1))
			return NULL;
		const struct item *it = &m->p->item[i];
		if (it->repeat != ONCE)
			return match_repeated(m, i, s);
		s = match_item(m, it, s);
	}
	return m->fault ? NULL : s;
}

enum pattern_result pattern_match(const struct pattern *p, const char *s, size_t len, const char *at, uint64_t *steps,
				  struct pattern_match *out)
{
	struct matcher m = { .p = p, .s = s, .end = s + len, .steps = steps, .m = out };
	if (!step(&m, 1))
		return m.fault;
	const char *e = match_from(&m, 0, at);
	if (!e)
		return m.fault;
	out->start = at;
	out->end = e;
	out->n = p->captures;
	return PATTERN_YES;
}

enum pattern_result pattern_search(const struct pattern *p, const char *s, size_t len, const char *at, uint64_t *steps,
				   struct pattern_match *m)
{
	for (;; at++) {
		enum pattern_result r = pattern_match(p, s, len, at, steps, m);
		if (r != PATTERN_NO || p->anchored || at == s + len)
			return r;
	}
}
