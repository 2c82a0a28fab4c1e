/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/report.h"

#include "common/version.h"
#include "mine/emit.h"

static void write_head(FILE *f, const struct analysis *a)
{
	/* No script, nothing fetched: what a hostile guest's strings could ask for is not there. */
	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
	      "<meta name=\"generator\" content=\"bifocal-mine " BIFOCAL_VERSION "\">\n<title>", f);
	html_text(f, a->t->title);
	fputs(*a->context ? ": " : "", f);
	html_text(f, a->context);
	fprintf(f, "</title>\n<style>%s</style>\n</head>\n<body>\n<main>\n", report_style);
}

static void write_notes(FILE *f, const struct dataset *d)
{
	if (!d->notes)
		return;
	fputs("<div class=\"notes\">\n", f);
	for (size_t i = 0; i < d->notes; i++) {
		fputs(d->note[i].loss ? "<p class=\"loss\">" : "<p>", f);
		html_text(f, d->note[i].text);
		fputs("</p>\n", f);
	}
	fputs("</div>\n", f);
}

static int write_header(FILE *f, const struct analysis *a, struct error *err)
{
	fputs("<header class=\"header\">\n<p class=\"brand\">Bifocal</p>\n<h1>", f);
	html_text(f, a->t->title);
	fputs("</h1>\n<p class=\"context\">", f);
	html_text(f, a->context);
	fputs("</p>\n", f);
	int rc = report_findings(f, a, err);
	report_phase_findings(f, a);
	if (a->t->summary) {
		fputs("<p class=\"hint\">", f);
		html_text(f, a->t->summary);
		fputs("</p>\n", f);
	}
	write_notes(f, &a->data);
	fputs("</header>\n", f);
	return rc;
}

static void write_picture(FILE *f, const struct analysis *a, const struct item *item, const struct drawn *d)
{
	fputs("<figure><picture>\n<source media=\"(max-width: 640px)\" srcset=\"data:image/png;base64,", f);
	html_base64(f, d->narrow.bytes, d->narrow.len);
	fputs("\">\n<img src=\"data:image/png;base64,", f);
	html_base64(f, d->wide.bytes, d->wide.len);
	fputs("\" width=\"800\" alt=\"", f);
	html_text(f, item->title);
	fprintf(f, ": %zu configuration%s. ", a->data.groups, a->data.groups == 1 ? "" : "s");
	html_text(f, d->caption);
	fputs("\">\n</picture></figure>\n", f);
}

static int write_item(FILE *f, const struct analysis *a, const struct item *item, const struct drawn *d, struct error *err)
{
	int rc = 0;
	fputs("<section>\n", f);
	if (item->kind != ITEM_TEXT && item->kind != ITEM_CHART) {
		fputs("<h2>", f);
		html_text(f, item->title);
		fputs("</h2>\n", f);
	}
	switch (item->kind) {
	case ITEM_TEXT:
		fputs("<p>", f);
		html_text(f, item->title);
		fputs("</p>\n", f);
		break;
	case ITEM_TABLE: report_table(f, a, item); break;
	case ITEM_CHART: write_picture(f, a, item, d); break;
	case ITEM_COMPARE: rc = report_compare(f, a, item, err); break;
	case ITEM_CLOCK: report_clock(f, a); break;
	case ITEM_CPU: report_cpu(f, a); break;
	case ITEM_LOSS: report_loss(f, a); break;
	case ITEM_PROVENANCE: report_provenance(f, a); break;
	case ITEM_PHASES: report_phases(f, a); break;
	case ITEM_REQUESTS: report_requests(f, a); break;
	case ITEM_TIERS: report_tiers(f, a); break;
	case ITEM_OWN_COST: report_own_cost(f, a); break;
	}
	fputs("</section>\n", f);
	return rc;
}

int report_write(FILE *f, const struct analysis *a, const struct drawn *drawn, struct error *err)
{
	write_head(f, a);
	int rc = write_header(f, a, err);
	for (size_t i = 0; i < a->t->items && !rc; i++)
		rc = write_item(f, a, &a->t->item[i], &drawn[i], err);
	fputs("<footer>Made by bifocal-mine " BIFOCAL_VERSION " from template “", f);
	html_text(f, a->t->name);
	fprintf(f, "” (%016llx). Configuration %016llx. The same figures, in full precision, are in stats.json.</footer>\n",
		(unsigned long long)a->t->hash, (unsigned long long)dataset_hash(&a->data));
	fputs("</main>\n</body>\n</html>\n", f);
	return rc;
}
