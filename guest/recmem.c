// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/recmem.h"

#include <errno.h>
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest/sys.h"

/* One thread that makes a system call an I/O stays below this, on any machine there is. */
#define JOB_IOPS_MAX 1e6

uint64_t recmem_job_limit(const struct workload *w, uint64_t size)
{
	if (w->number_ios)
		return w->number_ios;
	return w->runtime ? 0 : size / w->bs;
}

static double in_time(const struct workload *w, uint64_t ns)
{
	double rate = w->rate_iops && (double)w->rate_iops < JOB_IOPS_MAX ? (double)w->rate_iops : JOB_IOPS_MAX;
	double n = rate * (double)ns * 1e-9;

	/* Poisson arrivals scatter; eight standard deviations are not exceeded in a lifetime of runs. */
	if (w->rate_iops && w->rate_process == WL_PROCESS_poisson)
		n += 64 + 8 * sqrt(n);
	return n;
}

uint64_t recmem_need(const struct workload *w, uint64_t size)
{
	uint64_t limit = recmem_job_limit(w, size);
	double n = limit ? (double)limit : in_time(w, w->runtime);

	n += in_time(w, w->ramp_time) + (double)w->iodepth;
	if (w->fsync && workload_writes(w))
		n += n / (double)w->fsync + 1;
	n *= (double)w->numjobs;
	return n < 1e15 ? (uint64_t)n : (uint64_t)1e15;
}

static size_t budget(const struct recmem *m, const char *root)
{
	uint64_t share = (sys_memory_available(root) + m->bytes) / 2;

	return share < RECMEM_MAX ? (size_t)share : RECMEM_MAX;
}

static void touch(void *p, size_t n)
{
#ifdef MADV_POPULATE_WRITE
	if (madvise(p, n, MADV_POPULATE_WRITE) == 0)
		return;
#endif
	for (size_t i = 0; i < n; i += 4096)
		((volatile char *)p)[i] = 0;
}

static int grow(struct recmem *m, size_t bytes, struct error *err)
{
	recmem_fini(m);
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return error_sys(err, errno, "%zu bytes for I/O records", bytes);
	madvise(p, bytes, MADV_HUGEPAGE);
	touch(p, bytes);
	m->records = p;
	m->bytes = bytes;
	return 0;
}

size_t recmem_reserve(struct recmem *m, uint64_t records, const char *root, struct error *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), most = budget(m, root) / page * page;
	uint64_t want = (records * sizeof(struct io_record) + page - 1) / page * page;

	if (want > most)
		want = most;
	if (!want) {
		error_set(err, ERR_LIMIT, "no memory for I/O records; give the guest more memory (vm.memory)");
		return 0;
	}
	if (want > m->bytes && grow(m, (size_t)want, err))
		return 0;
	size_t room = m->bytes / sizeof(struct io_record);
	return room < records ? room : (size_t)records;
}

void recmem_fini(struct recmem *m)
{
	if (m->records)
		munmap(m->records, m->bytes);
	*m = (struct recmem){ 0 };
}
