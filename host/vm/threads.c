/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/vm/threads.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

static void know(struct vm_thread_table *t, const json_t *thread, const char *role, size_t place)
{
	const json_t *tid = json_object_get(thread, "thread-id"), *index = json_object_get(thread, "cpu-index");

	if (!json_is_integer(tid) || t->n_known >= VM_THREADS_MAX)
		return;
	t->known[t->n_known].tid = (int)json_integer_value(tid);
	t->known[t->n_known].role = role;
	t->known[t->n_known].index = json_is_integer(index) ? (int)json_integer_value(index) : (int)place;
	t->n_known++;
}

int threads_learn(struct vm_thread_table *t, pid_t pid, struct qmp *q, struct error *err)
{
	json_t *cpus = NULL, *iothreads = NULL;

	memset(t, 0, sizeof(*t));
	t->pid = pid;
	int rc = qmp_execute(q, "query-cpus-fast", NULL, QMP_TIMEOUT_MS, &cpus, err);
	if (rc == 0)
		rc = qmp_execute(q, "query-iothreads", NULL, QMP_TIMEOUT_MS, &iothreads, err);
	for (size_t i = 0; i < json_array_size(cpus); i++)
		know(t, json_array_get(cpus, i), "vcpu", i);
	for (size_t i = 0; i < json_array_size(iothreads); i++)
		know(t, json_array_get(iothreads, i), "iothread", i);
	json_decref(cpus);
	json_decref(iothreads);
	return rc;
}

static void read_name(pid_t pid, int tid, char name[THREAD_NAME_MAX])
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", (int)pid, tid);
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, name, THREAD_NAME_MAX - 1);
	name[n > 0 ? n : 0] = '\0';
	name[strcspn(name, "\n")] = '\0';
}

/* QEMU's pool calls its threads "worker"; the kernel's io_uring helpers show as "iou-wrk-PID" and "iou-sqp-PID". */
static bool is_worker(const char *name)
{
	return strncmp(name, "worker", 6) == 0 || strncmp(name, "iou-", 4) == 0;
}

static void classify(const struct vm_thread_table *t, struct probe_thread *p)
{
	p->role = is_worker(p->name) ? "worker" : "main";
	p->index = 0;
	for (size_t i = 0; i < t->n_known; i++) {
		if (t->known[i].tid != p->tid)
			continue;
		p->role = t->known[i].role;
		p->index = t->known[i].index;
		return;
	}
}

size_t threads_list(struct vm_thread_table *t, struct probe_thread *out, size_t cap)
{
	char path[64];
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)t->pid);
	DIR *dir = opendir(path);
	if (!dir)
		return 0;
	for (struct dirent *e = readdir(dir); e && n < cap && n < VM_THREADS_MAX; e = readdir(dir)) {
		int tid = atoi(e->d_name);

		if (tid <= 0)
			continue;
		read_name(t->pid, tid, t->name[n]);
		out[n] = (struct probe_thread){ .tid = tid, .name = t->name[n] };
		classify(t, &out[n++]);
	}
	closedir(dir);
	return n;
}
