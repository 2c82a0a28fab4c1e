// SPDX-License-Identifier: GPL-2.0-or-later
/* Memory for what there are many of: zeroed by the kernel where it is first touched, in huge pages if it has them, since a join that takes
 * tens of milliseconds would else spend a fifth of them on page faults. */
#include <stdlib.h>
#include <sys/mman.h>

#include "attribute/engine.h"

enum { SMALL = 1 << 20 };      /* below it half a huge page would be wasted */

void *pool_new(size_t n, size_t size)
{
	if (n > SIZE_MAX / size)
		return NULL;
	if (n * size < SMALL)
		return calloc(n ? n : 1, size);
	void *p = mmap(NULL, n * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	/* Refused, it is slower, and nothing else. */
	(void)madvise(p, n * size, MADV_HUGEPAGE);
	return p;
}

void pool_free(void *p, size_t n, size_t size)
{
	if (n * size < SMALL)
		free(p);
	else if (p)
		munmap(p, n * size);
}
