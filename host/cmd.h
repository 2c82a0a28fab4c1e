/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The verbs of `bifocal`: one table, one cmd_*.c each. Dispatch, --help, the suggestion for a
 * mistyped verb and the manual's check come from it.
 *
 * V(words, function, one-line help). Words of two ("db check") come one after the other on the command line.
 */
#ifndef BIFOCAL_HOST_CMD_H
#define BIFOCAL_HOST_CMD_H

#include "common/error.h"

#define VERB_TABLE(V) \
	V("doctor", cmd_doctor, "what this node offers, what is missing, and the remedy for each") \
	V("run", cmd_run, "boot guests, put load on their disks, store what both sides saw") \
	V("attach", cmd_attach, "one run in a guest that somebody else booted from our image") \
	V("list", cmd_list, "the runs in the database") \
	V("show", cmd_show, "one run, or one of its requests: latency, phases, clock and losses") \
	V("attribute", cmd_attribute, "runs' phases again, from their raw stamps") \
	V("export", cmd_export, "one run's I/Os as CSV, JSON lines or a trace for Perfetto") \
	V("plugin list", cmd_plugin_list, "the probes that --probe finds, and where") \
	V("db check", cmd_db_check, "verify every checksum in the database") \
	V("mine", cmd_mine, "charts and statistics by template (runs bifocal-mine)")

/* argv[0] is the verb's last word. Returns an exit code >= 0, or -1 with err, which main prints and turns into one. */
#define V(words, function, help) int function(int argc, char **argv, struct error *err);
VERB_TABLE(V)
#undef V

#endif
