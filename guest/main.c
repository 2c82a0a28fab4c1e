// SPDX-License-Identifier: GPL-2.0-or-later
/* bifocal-agent: PID 1 of the image, or an ordinary process for tests. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "common/version.h"
#include "guest/agent.h"
#include "guest/init.h"

static const char usage[] =
	"usage: bifocal-agent [--control WHERE] [--data WHERE] [--root DIR]\n"
	"\n"
	"  --control WHERE  control port: a device's or UNIX socket's path, or fd:N\n"
	"  --data WHERE     data port, likewise\n"
	"  --root DIR       take /sys, /proc and /dev from below DIR\n"
	"  --version        print the version\n"
	"  --help           print this\n"
	"\n"
	"Without --control and --data the virtio ports org.bifocal.control.0 and\n"
	"org.bifocal.data.0 are searched for. As PID 1 it takes no options: bifocal-agent(8).\n";

/* -1: go on; else the exit code. */
static int read_options(int argc, char **argv, struct agent_options *o)
{
	static const struct option options[] = {
		{ "control", required_argument, NULL, 'c' },
		{ "data", required_argument, NULL, 'd' },
		{ "root", required_argument, NULL, 'r' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};

	for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		switch (c) {
		case 'c': o->port[PORT_CONTROL] = optarg; break;
		case 'd': o->port[PORT_DATA] = optarg; break;
		case 'r': o->root = optarg; break;
		case 'V': puts("bifocal-agent " BIFOCAL_VERSION); return EXIT_DONE;
		case 'h': fputs(usage, stdout); return EXIT_DONE;
		default: fputs(usage, stderr); return EXIT_USAGE;
		}
	}
	if (optind == argc)
		return -1;
	fputs(usage, stderr);
	return EXIT_USAGE;
}

static int serve(const struct agent_options *o)
{
	static struct agent agent;      /* large, and lives as long as the program */
	struct error err = { 0 };

	if (agent_init(&agent, o, &err) || agent_serve(&agent, &err))
		log_error("%s", err.text);
	/* PID 1 must not end, and whatever went wrong, a guest that is off tells its host more than one that hangs. */
	if (o->init)
		init_poweroff();
	agent_fini(&agent);
	return (int)error_exit_code(&err);
}

int main(int argc, char **argv)
{
	struct agent_options o = { .root = "" };

	log_init("bifocal-agent", LOG_INFO_LEVEL);
	signal(SIGPIPE, SIG_IGN);
	/* The kernel hands words of its command line to PID 1; they are not for us. */
	o.init = getpid() == 1;
	int code = o.init ? -1 : read_options(argc, argv, &o);
	return code >= 0 ? code : serve(&o);
}
