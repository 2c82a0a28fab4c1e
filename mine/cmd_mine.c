/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bifocal-mine mine TEMPLATE -o DIR: a template put to a database, a report and its charts put into a folder. */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/units.h"
#include "mine/analysis.h"
#include "mine/cmd.h"
#include "mine/draw.h"
#include "mine/emit.h"
#include "mine/report.h"
#include "mine/template.h"

struct options {
	const char *template, *out, *db, *check;
	struct filter *where;
	char **owned;                /* the filters' copies: key and origin */
	size_t n_where;
	bool json, list, help;
};

static const struct option LONG_OPTIONS[] = {
	{ "output", required_argument, NULL, 'o' }, { "db", required_argument, NULL, 'd' },
	{ "where", required_argument, NULL, 'w' },  { "json", no_argument, NULL, 'j' },
	{ "list", no_argument, NULL, 'l' },         { "check", required_argument, NULL, 'c' },
	{ "help", no_argument, NULL, 'h' },         { 0 },
};

static void print_help(void)
{
	fputs("usage: bifocal mine TEMPLATE -o DIR [--db PATH] [--where KEY=VALUE[,VALUE]…]… [--json]\n"
	      "       bifocal mine --list | --check FILE\n"
	      "\n"
	      "Reads runs from the database, and writes DIR/report.html, its charts as PNG and DIR/stats.json.\n"
	      "\n"
	      "  TEMPLATE          a name (latency, attribution) or the path of an XML file\n"
	      "  -o, --output DIR  folder for the results; made where it is missing\n"
	      "  --db PATH         database; else $BIFOCAL_DB, else the XDG data directory's\n"
	      "  --where KEY=VALUE only runs that have it: disk.bus=ahci iodepth=1,8 run=3 study=last op=read\n"
	      "  --json            one object on stdout: where the files are, what was left out\n"
	      "  --list            the templates there are\n"
	      "  --check FILE      only check a template\n", stdout);
}

static int add_where(struct options *o, const char *text, struct error *err)
{
	const char *equals = strchr(text, '=');
	if (!equals || equals == text || !equals[1])
		return error_set(err, ERR_USAGE, "--where %s: wants KEY=VALUE, like --where disk.bus=ahci", text);
	struct filter *grown = reallocarray(o->where, o->n_where + 1, sizeof(*grown));
	if (grown)
		o->where = grown;
	char **owned = reallocarray(o->owned, 2 * (o->n_where + 1), sizeof(*owned));
	if (owned)
		o->owned = owned;
	char *key = strndup(text, (size_t)(equals - text)), *origin = NULL;
	if (!grown || !owned || !key || asprintf(&origin, "--where %s", text) < 0) {
		free(key);
		return error_set(err, ERR_LIMIT, "no memory");
	}
	owned[2 * o->n_where] = key;
	owned[2 * o->n_where + 1] = origin;
	grown[o->n_where++] = (struct filter){ .key = key, .values = equals + 1, .origin = origin };
	return 0;
}

static void options_fini(struct options *o)
{
	for (size_t i = 0; i < 2 * o->n_where; i++)
		free(o->owned[i]);
	free(o->owned);
	free(o->where);
}

static int unknown_option(const char *word, struct error *err)
{
	static const char *const words[] = { "--output", "--db", "--where", "--json", "--list", "--check", "--help", NULL };
	const char *near = nearest_word(word, words);
	return error_set(err, ERR_USAGE, "mine: no option %s%s%s%s", word, near ? "; did you mean " : "; `bifocal mine --help` lists them",
			 near ? near : "", near ? "?" : "");
}

static int parse_options(struct options *o, int argc, char **argv, struct error *err)
{
	opterr = 0;
	optind = 1;
	for (;;) {
		int before = optind;
		int c = getopt_long(argc, argv, ":o:h", LONG_OPTIONS, NULL);
		if (c < 0)
			break;
		switch (c) {
		case 'o': o->out = optarg; break;
		case 'd': o->db = optarg; break;
		case 'j': o->json = true; break;
		case 'l': o->list = true; break;
		case 'c': o->check = optarg; break;
		case 'h': o->help = true; break;
		case 'w':
			if (add_where(o, optarg, err))
				return -1;
			break;
		case ':': return error_set(err, ERR_USAGE, "mine: %s wants a value", argv[optind - 1]);
		default: return unknown_option(argv[before < optind ? optind - 1 : before], err);
		}
	}
	if (optind < argc)
		o->template = argv[optind++];
	if (optind < argc)
		return error_set(err, ERR_USAGE, "mine: \"%s\" is one template too many", argv[optind]);
	return 0;
}

static int check_options(const struct options *o, struct error *err)
{
	if (!o->template)
		return error_set(err, ERR_USAGE, "mine: which template? `bifocal mine --list` shows them; like `bifocal mine latency -o out`");
	if (!o->out)
		return error_set(err, ERR_USAGE, "mine: -o DIR is missing: the folder for the report");
	return 0;
}

/* The collector's rule (host/paths.h): option, environment, XDG. */
static char *database_path(const struct options *o)
{
	const char *db = o->db ? o->db : getenv("BIFOCAL_DB");
	if (db && *db)
		return strdup(db);
	const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	char *path = NULL;
	int n = xdg && *xdg == '/' ? asprintf(&path, "%s/bifocal/db", xdg) : asprintf(&path, "%s/.local/share/bifocal/db", home ? home : "");
	return n < 0 ? NULL : path;
}

/* ---- the output folder ---- */

struct output {
	int dir;
	const char *path;
	const struct analysis *a;
	struct drawn *drawn;         /* one an item */
};

static int write_charts(struct output *o, struct error *err)
{
	for (size_t i = 0; i < o->a->t->items; i++) {
		const struct item *item = &o->a->t->item[i];
		char name[64];
		if (item->kind != ITEM_CHART)
			continue;
		snprintf(name, sizeof(name), "%.50s.png", item->id);
		if (draw_chart(&o->drawn[i], o->a, item, err) ||
		    output_write(o->dir, name, o->drawn[i].wide.bytes, o->drawn[i].wide.len, err))
			return -1;
	}
	return 0;
}

static int write_text(struct output *o, bool json, struct error *err)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	if (!f)
		return error_set(err, ERR_LIMIT, "no memory for a report");
	int rc = json ? report_write_json(f, o->a, err) : report_write(f, o->a, o->drawn, err);
	bool failed = ferror(f);
	if ((fclose(f) || failed) && !rc)
		rc = error_set(err, ERR_LIMIT, "no memory for a report");
	if (!rc)
		rc = output_write(o->dir, json ? "stats.json" : "report.html", text, len, err);
	free(text);
	return rc;
}

static int write_output(struct output *o, struct error *err)
{
	o->drawn = calloc(o->a->t->items + 1, sizeof(*o->drawn));
	if (!o->drawn)
		return error_set(err, ERR_LIMIT, "no memory for a report");
	int rc = write_charts(o, err);
	if (!rc)
		rc = write_text(o, true, err);
	if (!rc)
		rc = write_text(o, false, err);
	for (size_t i = 0; i < o->a->t->items; i++)
		drawn_fini(&o->drawn[i]);
	free(o->drawn);
	return rc ? error_prefix(err, "%s", o->path) : 0;
}

/* ---- what is told ---- */

static bool is_partial(const struct dataset *d)
{
	for (size_t i = 0; i < d->notes; i++)
		if (d->note[i].loss)
			return true;
	return false;
}

static void tell_json(const struct output *o)
{
	const struct analysis *a = o->a;
	char path[PATH_MAX];
	autofree char *runs = draw_run_list(a);
	snprintf(path, sizeof(path), "%s/report.html", o->path);
	fputs("{\"report\": ", stdout);
	json_text(stdout, path);
	snprintf(path, sizeof(path), "%s/stats.json", o->path);
	fputs(", \"stats\": ", stdout);
	json_text(stdout, path);
	fputs(", \"charts\": [", stdout);
	bool first = true;
	for (size_t i = 0; i < a->t->items; i++) {
		if (a->t->item[i].kind != ITEM_CHART)
			continue;
		snprintf(path, sizeof(path), "%s/%s.png", o->path, a->t->item[i].id);
		fputs(first ? "" : ", ", stdout);
		first = false;
		json_text(stdout, path);
	}
	printf("], \"template\": ");
	json_text(stdout, a->t->name);
	printf(", \"configurations\": %zu, \"runs\": [%s], \"partial\": %s, \"notes\": [", a->data.groups, runs ? runs : "",
	       is_partial(&a->data) ? "true" : "false");
	for (size_t i = 0; i < a->data.notes; i++) {
		fputs(i ? ", " : "", stdout);
		json_text(stdout, a->data.note[i].text);
	}
	printf("]}\n");
}

static void tell(const struct output *o)
{
	for (size_t i = 0; i < o->a->data.notes; i++)
		fprintf(stderr, "bifocal-mine: %s\n", o->a->data.note[i].text);
	printf("%s/report.html\n", o->path);
}

static enum exit_code mine(const struct options *o, const struct template *t, struct error *err)
{
	autofree char *path = database_path(o);
	if (!path) {
		error_set(err, ERR_LIMIT, "no memory");
		return EXIT_FAILED;
	}
	struct store *s = store_open(path, STORE_READ, err);
	struct analysis a = { 0 };
	struct output out = { .dir = -1, .path = o->out, .a = &a };
	enum exit_code code = EXIT_FAILED;
	if (!s || analysis_run(&a, s, t, o->where, o->n_where, err))
		goto end;
	out.dir = output_open(o->out, err);
	if (out.dir < 0 || write_output(&out, err))
		goto end;
	if (o->json)
		tell_json(&out);
	else
		tell(&out);
	code = is_partial(&a.data) ? EXIT_PARTIAL : EXIT_DONE;
end:
	if (out.dir >= 0)
		close(out.dir);
	analysis_fini(&a);
	store_close(s);
	return code == EXIT_FAILED ? error_exit_code(err) : code;
}

/* ---- --list and --check ---- */

static int list_one(void *ctx, const char *path, const char *name)
{
	bool *first = ctx;
	struct template t;
	struct error why = { 0 };
	bool good = template_load(&t, path, &why) == 0;
	if (!first) {
		printf("%-16s %s\n", name, good ? t.title : why.text);
	} else {
		fputs(*first ? "" : ", ", stdout);
		*first = false;
		fputs("{\"name\": ", stdout);
		json_text(stdout, name);
		fputs(", \"path\": ", stdout);
		json_text(stdout, path);
		fputs(good ? ", \"title\": " : ", \"error\": ", stdout);
		json_text(stdout, good ? t.title : why.text);
		putchar('}');
	}
	if (good)
		template_fini(&t);
	return 0;
}

static enum exit_code list(const struct options *o, struct error *err)
{
	bool first = true;
	if (o->json)
		fputs("{\"templates\": [", stdout);
	int rc = template_each(list_one, o->json ? &first : NULL, err);
	if (o->json)
		fputs("]}\n", stdout);
	return rc ? error_exit_code(err) : EXIT_DONE;
}

static enum exit_code check(const struct options *o, struct error *err)
{
	struct template t;
	if (template_load(&t, o->check, err))
		return error_exit_code(err);
	if (o->json) {
		fputs("{\"template\": ", stdout);
		json_text(stdout, t.name);
		printf(", \"valid\": true, \"items\": %zu}\n", t.items);
	} else {
		printf("%s: valid; \"%s\", %zu item%s\n", o->check, t.name, t.items, t.items == 1 ? "" : "s");
	}
	template_fini(&t);
	return EXIT_DONE;
}

static enum exit_code dispatch(const struct options *o, struct error *err)
{
	if (o->help) {
		print_help();
		return EXIT_DONE;
	}
	if (o->list)
		return list(o, err);
	if (o->check)
		return check(o, err);
	struct template t;
	if (check_options(o, err) || template_load(&t, o->template, err))
		return error_exit_code(err);
	enum exit_code code = mine(o, &t, err);
	template_fini(&t);
	return code;
}

enum exit_code cmd_mine(int argc, char **argv, struct error *err)
{
	struct options o = { 0 };
	enum exit_code code = parse_options(&o, argc, argv, err) ? error_exit_code(err) : dispatch(&o, err);
	options_fini(&o);
	template_cleanup();
	return code;
}
