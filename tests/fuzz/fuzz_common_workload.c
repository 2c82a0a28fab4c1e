/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A workload's text from a peer. What parses must print and parse to the same workload. */
#include <stdlib.h>
#include <string.h>

#include "common/workload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct workload w, back;
	struct error err;
	char text[WORKLOAD_TEXT_MAX];
	if (workload_parse(&w, (const char *)data, size, &err) < 0) {
		/* Messages reach a terminal. */
		for (const char *p = err.text; *p; p++)
			if ((unsigned char)*p < ' ' || *p == 0x7f)
				abort();
		return 0;
	}
	workload_print(&w, text, sizeof(text));
	if (workload_parse(&back, text, strlen(text), &err) < 0 || memcmp(&w, &back, sizeof(w)) != 0)
		abort();
	workload_check(&w, &err);
	return 0;
}
