/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Feeds a fuzz target every file of its seed directory: fuzz seeds as ordinary tests, in TAP. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int feed(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		return -1;
	static uint8_t buf[4 << 20];
	size_t n = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	/* An exact heap block, so that a sanitizer sees the first byte read beyond it. */
	uint8_t *exact = malloc(n ? n : 1);
	if (!exact)
		return -1;
	memcpy(exact, buf, n);
	int r = LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	return r;
}

int main(int argc, char **argv)
{
	struct dirent **names;
	int n = argc == 2 ? scandir(argv[1], &names, NULL, alphasort) : -1;
	if (n < 0) {
		fprintf(stderr, "usage: %s SEED_DIRECTORY\n", argv[0]);
		return 2;
	}
	int count = 0, failed = 0;
	for (int i = 0; i < n; i++) {
		char path[4096];
		if (names[i]->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%s/%s", argv[1], names[i]->d_name);
			int bad = feed(path) != 0;
			failed += bad;
			printf("%s %d - %s\n", bad ? "not ok" : "ok", ++count, names[i]->d_name);
			fflush(stdout);
		}
		free(names[i]);
	}
	free(names);
	printf("1..%d\n", count);
	return failed || count == 0;
}
