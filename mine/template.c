/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/template.h"

#include <libxml/parser.h>
#include <libxml/xmlschemas.h>
#include <libxml/xmlschemastypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attribute/result.h"
#include "common/cleanup.h"
#include "common/units.h"
#include "mine/search.h"

#define NAMESPACE "urn:bifocal:template"
#define SCHEMA "bifocal-template.xsd"

/* The first fault is the one to mend; those behind it are often its echo. */
struct fault {
	const char *path;
	struct error *err;
	bool seen, doctype;
};

/* libxml2's messages end in a newline and spell out the namespace: "Element '{urn:…}chart', attribute …". */
static void tidy(const char *message, char *dst, size_t cap)
{
	size_t n = 0;
	for (const char *m = message ? message : "fault without a message"; *m && n + 1 < cap; m++) {
		if (strncmp(m, "{" NAMESPACE "}", strlen(NAMESPACE) + 2) == 0)
			m += strlen(NAMESPACE) + 2;
		dst[n++] = *m == '\n' || *m == '\t' ? ' ' : *m;
	}
	while (n && (dst[n - 1] == ' ' || dst[n - 1] == '.'))
		n--;
	dst[n] = '\0';
}

static const char *remedy(const char *message)
{
	if (strstr(message, "No matching global declaration"))
		return "the root must be <template xmlns=\"" NAMESPACE "\" version=\"1\" name=\"…\">";
	if (strstr(message, "attribute 'version'"))
		return "this program reads version 1; a newer template needs a newer bifocal-mine";
	if (strstr(message, "facet 'pattern'") && strstr(message, "statistic"))
		return "statistics are n iops mean max and percentiles like p50 or p99.9";
	return "docs/templates.md has the language";
}

static void take_fault(struct fault *f, const xmlError *e, const char *what)
{
	if (!e || e->level < XML_ERR_ERROR || f->seen)
		return;
	char message[700];
	tidy(e->message, message, sizeof(message));
	error_set(f->err, ERR_USAGE, "%s:%d: %s%s; %s", f->path, e->line, what, message,
		  *what ? "the file is not well-formed XML" : remedy(message));
	f->seen = true;
}

static void on_parse_error(void *ctx, xmlErrorPtr e)
{
	take_fault(((xmlParserCtxtPtr)ctx)->_private, e, "not well-formed: ");
}

static void on_valid_error(void *ctx, xmlErrorPtr e)
{
	take_fault(ctx, e, "");
}

/* A document type is the door to entities, their bombs and the outside world. It stays shut. */
static void on_doctype(void *ctx, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
	(void)name;
	(void)external;
	(void)system;
	xmlParserCtxtPtr parser = ctx;
	struct fault *f = parser->_private;
	if (!f->seen)
		error_set(f->err, ERR_USAGE, "%s:%d: <!DOCTYPE>: a template has no document type and no entities; remove the declaration",
			  f->path, xmlSAX2GetLineNumber(parser));
	f->seen = true;
	xmlStopParser(parser);
}

static xmlDocPtr parse_xml(struct fault *f, const void *text, size_t len)
{
	xmlParserCtxtPtr parser = xmlNewParserCtxt();
	if (!parser) {
		error_set(f->err, ERR_LIMIT, "no memory for an XML parser");
		return NULL;
	}
	parser->_private = f;
	parser->sax->serror = on_parse_error;
	parser->sax->internalSubset = on_doctype;
	/* Neither NOENT nor DTDLOAD nor HUGE: nothing is expanded, nothing is loaded, depth and size stay bounded. */
	xmlDocPtr doc = xmlCtxtReadMemory(parser, text, (int)len, f->path, NULL, XML_PARSE_NONET | XML_PARSE_NOCDATA);
	if (doc && (f->seen || !parser->wellFormed)) {
		xmlFreeDoc(doc);
		doc = NULL;
	}
	if (!doc && !f->seen)
		error_set(f->err, ERR_USAGE, "%s: not well-formed XML", f->path);
	xmlFreeParserCtxt(parser);
	return doc;
}

static int validate(struct fault *f, xmlDocPtr doc, const void *xsd, size_t xsd_len)
{
	int rc = -1;
	struct fault in_schema = { .path = SCHEMA, .err = f->err };
	xmlSchemaPtr schema = NULL;
	xmlSchemaValidCtxtPtr valid = NULL;
	xmlSchemaParserCtxtPtr parser = xmlSchemaNewMemParserCtxt(xsd, (int)xsd_len);
	if (parser) {
		xmlSchemaSetParserStructuredErrors(parser, on_valid_error, &in_schema);
		schema = xmlSchemaParse(parser);
	}
	if (schema)
		valid = xmlSchemaNewValidCtxt(schema);
	if (!valid) {
		if (!in_schema.seen)
			error_set(f->err, ERR_FAILED, "%s: the schema cannot be read; install it anew", SCHEMA);
		goto end;
	}
	xmlSchemaSetValidStructuredErrors(valid, on_valid_error, f);
	int faults = xmlSchemaValidateDoc(valid, doc);
	if (faults && !f->seen)
		error_set(f->err, ERR_FAILED, "%s: validation failed", f->path);
	rc = faults ? -1 : 0;
end:
	xmlSchemaFreeValidCtxt(valid);
	xmlSchemaFree(schema);
	xmlSchemaFreeParserCtxt(parser);
	return rc;
}

/* ---- from the tree to the struct; the schema vouches for its shape ---- */

/* As xs:token has it: blanks at the ends gone, runs of them one. */
static char *collapse(char *text)
{
	char *out = text;
	for (const char *in = text; *in; in++) {
		bool blank = *in == ' ' || *in == '\n' || *in == '\t' || *in == '\r';
		if (!blank)
			*out++ = *in;
		else if (out > text && out[-1] != ' ')
			*out++ = ' ';
	}
	if (out > text && out[-1] == ' ')
		out--;
	*out = '\0';
	return text;
}

static char *take(xmlChar *x)
{
	char *text = x ? strdup((char *)x) : NULL;
	xmlFree(x);
	return text ? collapse(text) : NULL;
}

static char *attribute(xmlNodePtr node, const char *name)
{
	return take(xmlGetNoNsProp(node, (const xmlChar *)name));
}

static char *content(xmlNodePtr node)
{
	return take(xmlNodeGetContent(node));
}

static bool is(xmlNodePtr node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

static bool true_word(char *text)
{
	bool yes = text && (strcmp(text, "true") == 0 || strcmp(text, "1") == 0);
	free(text);
	return yes;
}

/* Keeps a string for as long as the template; NULL stays NULL. */
static char *own(struct template *t, char *text)
{
	char **grown = text ? reallocarray(t->owned, t->n_owned + 1, sizeof(*grown)) : NULL;
	if (!grown) {
		free(text);
		return NULL;
	}
	t->owned = grown;
	return grown[t->n_owned++] = text;
}

static size_t count_elements(xmlNodePtr parent)
{
	size_t n = 0;
	for (xmlNodePtr c = parent->children; c; c = c->next)
		n += c->type == XML_ELEMENT_NODE;
	return n;
}

static int read_select(struct template *t, xmlNodePtr node)
{
	char *study = attribute(node, "study");
	t->last_study = study && strcmp(study, "last") == 0;
	free(study);
	t->where = calloc(count_elements(node) + 1, sizeof(*t->where));
	if (!t->where)
		return -1;
	for (xmlNodePtr c = node->children; c; c = c->next) {
		if (!is(c, "where"))
			continue;
		char *origin = NULL;
		struct filter *f = &t->where[t->n_where++];
		f->key = own(t, attribute(c, "key"));
		f->values = own(t, attribute(c, "value"));
		f->except = true_word(attribute(c, "except"));
		if (asprintf(&origin, "%s:%ld: <where>", t->path, xmlGetLineNo(c)) < 0)
			return -1;
		f->origin = own(t, origin);
		if (!f->key || !f->values || !f->origin)
			return -1;
	}
	return 0;
}

static int read_styles(struct template *t, xmlNodePtr node, struct key_style **styles, size_t *n)
{
	*styles = calloc(count_elements(node) + 1, sizeof(**styles));
	if (!*styles)
		return -1;
	for (xmlNodePtr c = node->children; c; c = c->next) {
		if (c->type != XML_ELEMENT_NODE)
			continue;
		struct key_style *s = &(*styles)[(*n)++];
		s->key = own(t, attribute(c, "key"));
		s->label = own(t, attribute(c, "label"));
		s->order = own(t, attribute(c, "order"));
		if (!s->key)
			return -1;
	}
	return 0;
}

static struct statistic statistic_of(const char *word, size_t len)
{
	struct statistic s = { .kind = STAT_PERCENTILE };
	snprintf(s.name, sizeof(s.name), "%.*s", (int)len, word);
	if (strcmp(s.name, "n") == 0)
		s.kind = STAT_N;
	else if (strcmp(s.name, "iops") == 0)
		s.kind = STAT_IOPS;
	else if (strcmp(s.name, "mean") == 0)
		s.kind = STAT_MEAN;
	else if (strcmp(s.name, "max") == 0)
		s.kind = STAT_MAX;
	else
		s.q = strtod(s.name + 1, NULL) / 100;
	return s;
}

static bool has_statistic(const struct item *item, const struct statistic *s)
{
	for (size_t i = 0; i < item->statistics; i++)
		if (strcmp(item->statistic[i].name, s->name) == 0)
			return true;
	return false;
}

/* Each once, however often it is named: they are the keys of stats.json. */
static void read_statistics(struct item *item, char *words)
{
	for (const char *w = words; w && *w && item->statistics < TEMPLATE_STATISTICS;) {
		size_t len = strcspn(w, " ");
		struct statistic s = statistic_of(w, len);
		if (!has_statistic(item, &s))
			item->statistic[item->statistics++] = s;
		w += len;
		w += strspn(w, " ");
	}
	free(words);
}

static size_t find_word(const char *const *words, size_t n, const char *word, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(words[i]) == len && strncmp(words[i], word, len) == 0)
			return i;
	return n;
}

/* A bit for each of `words` that the list names, all of them without a list. */
static unsigned read_bits(char *list, const char *const *words, size_t n)
{
	unsigned bits = 0;
	for (const char *w = list; w && *w;) {
		size_t len = strcspn(w, " "), i = find_word(words, n, w, len);
		bits |= i < n ? 1U << i : 0;
		w += len;
		w += strspn(w, " ");
	}
	free(list);
	return bits ? bits : (1U << n) - 1;
}

static void read_chart(struct item *item, xmlNodePtr node)
{
	static const char *const types[] = {
		[CHART_PERCENTILE] = "percentile", [CHART_TIMELINE] = "timeline", [CHART_ATTRIBUTION] = "attribution", [CHART_WATERFALL] = "waterfall",
	};
	char *type = attribute(node, "type"), *examples = attribute(node, "examples");
	size_t kind = type ? find_word(types, sizeof(types) / sizeof(*types), type, strlen(type)) : 0;
	item->chart = kind < sizeof(types) / sizeof(*types) ? (enum chart_kind)kind : CHART_PERCENTILE;
	free(type);
	const char *roles[EXAMPLES];
	for (unsigned i = 0; i < EXAMPLES; i++)
		roles[i] = example_name(i);
	item->levels = read_bits(attribute(node, "levels"), level_name, LEVELS);
	/* An example of a violation is there to be asked for. */
	item->examples = examples ? read_bits(examples, roles, EXAMPLES) : 1U << EXAMPLE_TYPICAL | 1U << EXAMPLE_P99 | 1U << EXAMPLE_WORST;
}

static int read_item(struct item *item, xmlNodePtr node)
{
	static const char *const names[] = {
		[ITEM_TEXT] = "text", [ITEM_TABLE] = "table", [ITEM_CHART] = "chart", [ITEM_COMPARE] = "compare",
		[ITEM_CLOCK] = "clock", [ITEM_CPU] = "cpu", [ITEM_LOSS] = "loss", [ITEM_PROVENANCE] = "provenance",
		[ITEM_PHASES] = "phases", [ITEM_REQUESTS] = "requests", [ITEM_TIERS] = "tiers", [ITEM_OWN_COST] = "own-cost",
	};
	size_t kind = 0;
	while (kind < sizeof(names) / sizeof(*names) - 1 && !is(node, names[kind]))
		kind++;
	item->kind = (enum item_kind)kind;
	item->title = kind == ITEM_TEXT ? content(node) : attribute(node, "title");
	item->id = attribute(node, "id");
	item->key = attribute(node, "key");
	item->baseline = attribute(node, "baseline");
	read_statistics(item, attribute(node, "statistics"));
	read_chart(item, node);
	return item->title ? 0 : -1;
}

static int read_report(struct template *t, xmlNodePtr node)
{
	char *level = attribute(node, "level");
	t->level = level ? strtod(level, NULL) : 0.95;
	free(level);
	t->item = calloc(count_elements(node) + 1, sizeof(*t->item));
	if (!t->item)
		return -1;
	for (xmlNodePtr c = node->children; c; c = c->next)
		if (c->type == XML_ELEMENT_NODE && read_item(&t->item[t->items++], c))
			return -1;
	return 0;
}

static int read_section(struct template *t, xmlNodePtr c)
{
	if (is(c, "title"))
		return (t->title = content(c)) ? 0 : -1;
	if (is(c, "summary"))
		return (t->summary = content(c)) ? 0 : -1;
	if (is(c, "select"))
		return read_select(t, c);
	if (is(c, "group"))
		return read_styles(t, c, &t->by, &t->n_by);
	if (is(c, "context"))
		return read_styles(t, c, &t->show, &t->n_show);
	return is(c, "report") ? read_report(t, c) : 0;
}

/* What a type of chart does not know would be passed over in silence; the schema cannot say so. */
static int check_charts(const char *path, xmlNodePtr report, struct error *err)
{
	static const char *const only[][2] = { { "levels", "attribution" }, { "examples", "waterfall" } };
	for (xmlNodePtr c = report ? report->children : NULL; c; c = c->next)
		for (size_t i = 0; is(c, "chart") && i < 2; i++) {
			char *type = attribute(c, "type"), *given = attribute(c, only[i][0]);
			bool wrong = given && type && strcmp(type, only[i][1]) != 0;
			if (wrong)
				error_set(err, ERR_USAGE, "%s:%ld: <chart type=\"%s\"> takes no %s; that is for type=\"%s\"", path, xmlGetLineNo(c), type,
					  only[i][0], only[i][1]);
			free(type);
			free(given);
			if (wrong)
				return -1;
		}
	return 0;
}

/* Two charts of one name would overwrite each other's file; the schema cannot say so briefly. */
static int check_ids(const struct template *t, struct error *err)
{
	for (size_t i = 0; i < t->items; i++)
		for (size_t j = 0; j < i && t->item[i].id; j++)
			if (t->item[j].id && strcmp(t->item[i].id, t->item[j].id) == 0)
				return error_set(err, ERR_USAGE, "%s: two charts have id \"%s\"; give each its own, it names the file",
						 t->path, t->item[i].id);
	return 0;
}

static int read_template(struct template *t, xmlNodePtr root, struct error *err)
{
	t->name = attribute(root, "name");
	int rc = t->name ? 0 : -1;
	xmlNodePtr report = NULL;
	for (xmlNodePtr c = root->children; c && !rc; c = c->next) {
		rc = read_section(t, c);
		report = is(c, "report") ? c : report;
	}
	if (rc)
		return error_set(err, ERR_LIMIT, "%s: no memory", t->path);
	return check_charts(t->path, report, err) ? -1 : check_ids(t, err);
}

bool template_wants_own_cost(const struct template *t)
{
	for (size_t i = 0; i < t->items; i++)
		if (t->item[i].kind == ITEM_OWN_COST)
			return true;
	return false;
}

bool template_wants_phases(const struct template *t)
{
	for (size_t i = 0; i < t->items; i++) {
		const struct item *item = &t->item[i];
		if (item->kind == ITEM_PHASES || item->kind == ITEM_REQUESTS || item->kind == ITEM_TIERS ||
		    (item->kind == ITEM_CHART && (item->chart == CHART_ATTRIBUTION || item->chart == CHART_WATERFALL)))
			return true;
	}
	return false;
}

static uint64_t hash_bytes(const uint8_t *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325ULL;
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3ULL;
	return h;
}

int template_parse(struct template *t, const char *path, const void *text, size_t len, const void *xsd, size_t xsd_len, struct error *err)
{
	*t = (struct template){ .path = strdup(path), .level = 0.95 };
	struct fault fault = { .path = path, .err = err };
	xmlDocPtr doc = NULL;
	int rc = -1;
	if (!t->path)
		error_set(err, ERR_LIMIT, "no memory");
	else if (len > TEMPLATE_BYTES || xsd_len > TEMPLATE_BYTES)
		error_set(err, ERR_LIMIT, "%s: over %d bytes", path, TEMPLATE_BYTES);
	else
		doc = parse_xml(&fault, text, len);
	if (doc && !validate(&fault, doc, xsd, xsd_len))
		rc = read_template(t, xmlDocGetRootElement(doc), err);
	t->hash = hash_bytes(text, len);
	xmlFreeDoc(doc);
	if (rc)
		template_fini(t);
	return rc;
}

/* ---- finding ---- */

static int unknown_template(const char *name, struct error *err)
{
	char **names = search_template_names(NULL);
	const char *near = names ? nearest_word(name, (const char *const *)names) : NULL;
	char places[1024];
	search_template_places(places, sizeof(places));
	if (near)
		error_set(err, ERR_USAGE, "no template \"%s\" in %s; did you mean \"%s\"?", name, places, near);
	else if (names && names[0])
		error_set(err, ERR_USAGE, "no template \"%s\" in %s; there is \"%s\" (`mine --list` shows all)", name, places, names[0]);
	else
		error_set(err, ERR_NOT_FOUND, "no template at all in %s; set BIFOCAL_DATA to the folder that holds templates/", places);
	search_names_free(names);
	return -1;
}

static char *find(const char *name, struct error *err)
{
	size_t len = strlen(name);
	if (strchr(name, '/') || (len > 4 && strcmp(name + len - 4, ".xml") == 0))
		return strdup(name);
	autofree char *file = NULL;
	if (asprintf(&file, "%s.xml", name) < 0)
		return NULL;
	struct error nowhere = { 0 };
	char *path = search_template_file(file, &nowhere);
	if (!path)
		unknown_template(name, err);
	return path;
}

int template_load(struct template *t, const char *name, struct error *err)
{
	*t = (struct template){ 0 };
	autofree char *path = find(name, err);
	autofree char *schema = path ? search_template_file(SCHEMA, err) : NULL;
	if (!schema)
		return -1;
	size_t len = 0, xsd_len = 0;
	autofree char *text = file_read(path, TEMPLATE_BYTES, &len, err);
	autofree char *xsd = text ? file_read(schema, TEMPLATE_BYTES, &xsd_len, err) : NULL;
	return xsd ? template_parse(t, path, text, len, xsd, xsd_len, err) : -1;
}

int template_each(int (*fn)(void *ctx, const char *path, const char *name), void *ctx, struct error *err)
{
	char **names = search_template_names(err);
	if (!names)
		return -1;
	int rc = 0;
	for (size_t i = 0; names[i] && !rc; i++) {
		autofree char *path = find(names[i], err);
		rc = path ? fn(ctx, path, names[i]) : -1;
	}
	search_names_free(names);
	return rc;
}

void template_fini(struct template *t)
{
	for (size_t i = 0; i < t->items; i++) {
		free(t->item[i].title);
		free(t->item[i].id);
		free(t->item[i].key);
		free(t->item[i].baseline);
	}
	for (size_t i = 0; i < t->n_owned; i++)
		free(t->owned[i]);
	free(t->path);
	free(t->name);
	free(t->title);
	free(t->summary);
	free(t->where);
	free(t->by);
	free(t->show);
	free(t->item);
	free(t->owned);
	*t = (struct template){ 0 };
}

void template_cleanup(void)
{
	xmlSchemaCleanupTypes();
	xmlCleanupParser();
}
