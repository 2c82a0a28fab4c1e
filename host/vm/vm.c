/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/loop.h"
#include "host/vm/image.h"
#include "host/vm/process.h"
#include "host/vm/qmp.h"
#include "host/vm/rundir.h"
#include "host/vm/scratch.h"
#include "host/vm/threads.h"

enum {
	QMP_OPEN_MS = 20000,      /* QEMU takes 0.1 s to open its sockets; a node under load some seconds */
	LOG_LINES = 6,
	QUIT_MS = 2000,
};

struct vm {
	struct qemu_info qemu;
	struct vm_paths paths;
	struct rundir rundir;
	struct process process;
	struct qmp *qmp;
	struct vm_thread_table threads;
	char *command_line;
};

/* ---- what QEMU said before it died ---- */

int vm_alive(struct vm *v, struct error *how)
{
	char end[48], said[1024];

	if (process_running(&v->process))
		return 1;
	process_how(&v->process, end, sizeof(end));
	file_tail(v->paths.qemu_log, LOG_LINES, said, sizeof(said));
	error_set(how, ERR_FAILED, "QEMU ended (%s)%s%s", end, said[0] ? ": " : "; it said nothing", said);
	return 0;
}

static int still_alive(void *ctx, struct error *err)
{
	return vm_alive(ctx, err);
}

/* ---- the command line as one line ---- */

static bool is_plain(const char *s)
{
	return *s && !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+,./:@%")];
}

/* In single quotes; a quote within becomes '\''. */
static void quote_word(FILE *out, const char *s)
{
	if (is_plain(s)) {
		fputs(s, out);
		return;
	}
	fputc('\'', out);
	for (; *s; s++)
		fputs(*s == '\'' ? "'\\''" : (char[]){ *s, '\0' }, out);
	fputc('\'', out);
}

static char *quote_line(char *const argv[])
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	for (size_t i = 0; argv[i]; i++) {
		if (i)
			fputc(' ', out);
		quote_word(out, argv[i]);
	}
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- from nothing ---- */

static void name_files(struct vm_paths *p, const char *dir)
{
	snprintf(p->dir, sizeof(p->dir), "%s", dir);
	snprintf(p->control, sizeof(p->control), "%s/control", dir);
	snprintf(p->data, sizeof(p->data), "%s/data", dir);
	snprintf(p->qmp, sizeof(p->qmp), "%s/qmp", dir);
	snprintf(p->serial_log, sizeof(p->serial_log), "%s/serial.log", dir);
	snprintf(p->qemu_log, sizeof(p->qemu_log), "%s/qemu.log", dir);
	snprintf(p->trace_log, sizeof(p->trace_log), "%s/vmm-trace.log", dir);
	snprintf(p->trace_file, sizeof(p->trace_file), "%s/vmm-trace.bin", dir);
}

static int make_files(struct vm *v, const struct config *c, struct error *err)
{
	struct rundir_need need = scratch_need(c);

	rundir_sweep();
	if (rundir_make(&need, &v->rundir, err))
		return -1;
	name_files(&v->paths, v->rundir.path);
	if (image_prepare(c, &v->paths, err))
		return -1;
	return scratch_make(c, v->rundir.path, v->paths.scratch, sizeof(v->paths.scratch), err);
}

static int start_qemu(struct vm *v, const struct config *c, const struct accel_choice *accel, struct error *err)
{
	char *argv[VM_ARGS_MAX];

	if (qemu_args(c, &v->qemu, accel->kvm, &v->paths, argv, err))
		return -1;
	v->command_line = quote_line(argv);
	int rc = v->command_line ? process_start(&v->process, argv, v->paths.qemu_log, err) : error_set(err, ERR_LIMIT, "out of memory");
	qemu_args_free(argv);
	return rc;
}

/* When QEMU died meanwhile, its own words say more than a broken socket. */
static int prefer_death(struct vm *v, struct error *err)
{
	struct error how = { 0 };

	if (err && err->code == ERR_INTERRUPTED)
		return -1;
	if (process_wait(&v->process, 100) && !vm_alive(v, &how) && err)
		*err = how;
	return -1;
}

static int greet_qemu(struct vm *v, const struct config *c, struct error *err)
{
	uint64_t boot_ms = config_uint(c, CFG_VM_BOOT_TIMEOUT) / 1000000;

	v->qmp = qmp_open(v->paths.qmp, boot_ms < QMP_OPEN_MS ? (int)boot_ms : QMP_OPEN_MS, still_alive, v, err);
	if (!v->qmp || threads_learn(&v->threads, v->process.pid, v->qmp, err))
		return prefer_death(v, err);
	return 0;
}

struct vm *vm_start(const struct config *c, const struct accel_choice *accel, struct error *err)
{
	struct error why = { 0 };
	struct vm *v = calloc(1, sizeof(*v));

	if (!v) {
		error_set(err, ERR_LIMIT, "out of memory");
		return NULL;
	}
	v->rundir.lock_fd = -1;
	if (config_check(c, &why) || qemu_probe(c, &v->qemu, &why) || image_find(c, &v->paths, &why) || make_files(v, c, &why) ||
	    start_qemu(v, c, accel, &why) || greet_qemu(v, c, &why)) {
		vm_free(v);
		if (err)
			*err = why;
		return NULL;
	}
	return v;
}

/* ---- to nothing ---- */

int vm_stop(struct vm *v, int ms, struct error *err)
{
	char how[48];

	if (process_running(&v->process) && v->qmp)
		qmp_execute(v->qmp, "quit", NULL, ms < QUIT_MS ? ms : QUIT_MS, NULL, NULL);
	bool by_itself = process_wait(&v->process, ms);
	process_kill(&v->process);
	process_how(&v->process, how, sizeof(how));
	if (!by_itself)
		return error_set(err, ERR_TIMEOUT, "QEMU did not quit in %d ms and was killed", ms);
	if (v->process.status)
		return error_set(err, ERR_FAILED, "QEMU ended with %s", how);
	return 0;
}

void vm_free(struct vm *v)
{
	if (!v)
		return;
	process_kill(&v->process);
	qmp_close(v->qmp);
	rundir_remove(&v->rundir);
	free(v->command_line);
	free(v);
}

int vm_sweep(void)
{
	return rundir_sweep();
}

/* ---- in between ---- */

pid_t vm_pid(const struct vm *v)
{
	return v->process.pid;
}

const struct vm_paths *vm_paths(const struct vm *v)
{
	return &v->paths;
}

const struct qemu_info *vm_qemu(const struct vm *v)
{
	return &v->qemu;
}

const char *vm_command_line(const struct vm *v)
{
	return v->command_line;
}

size_t vm_threads(struct vm *v, struct probe_thread *out, size_t cap)
{
	return threads_list(&v->threads, out, cap);
}

char *vm_console_tail(const struct vm *v, int lines, char *dst, size_t cap)
{
	return file_tail(v->paths.serial_log, lines, dst, cap);
}

int vm_qmp(struct vm *v, const char *command, const char *args_json, char **out, struct error *err)
{
	json_error_t where;
	json_t *args = NULL, *result = NULL;

	if (out)
		*out = NULL;
	if (args_json && !(args = json_loads(args_json, 0, &where)))
		return error_set(err, ERR_USAGE, "QMP %s: arguments are not JSON: %s", command, where.text);
	int rc = qmp_execute(v->qmp, command, args, QMP_TIMEOUT_MS, out ? &result : NULL, err);
	json_decref(args);
	if (rc == 0 && out && !(*out = json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY)))
		rc = error_set(err, ERR_LIMIT, "QMP %s: out of memory", command);
	json_decref(result);
	return rc;
}

static void copy_text(char *dst, size_t cap, const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	snprintf(dst, cap, "%s", text ? text : "");
}

int vm_event_take(struct vm *v, struct vm_event *out)
{
	qmp_gather(v->qmp);
	json_t *event = qmp_event(v->qmp);
	const json_t *data = json_object_get(event, "data"), *stamp = json_object_get(event, "timestamp");
	json_int_t s = json_integer_value(json_object_get(stamp, "seconds")), us = json_integer_value(json_object_get(stamp, "microseconds"));

	*out = (struct vm_event){ 0 };
	copy_text(out->name, sizeof(out->name), event, "event");
	copy_text(out->id, sizeof(out->id), data, "id");
	copy_text(out->status, sizeof(out->status), data, "status");
	/* QEMU says -1 when its own clock fails. */
	if (s > 0 && s < INT64_MAX / 1000000000 - 1 && us >= 0 && us < 1000000)
		out->realtime_ns = (int64_t)s * 1000000000 + (int64_t)us * 1000;
	json_decref(event);
	return event ? 1 : 0;
}

int vm_event(struct vm *v, char name[VM_EVENT_MAX])
{
	struct vm_event e;
	int r = vm_event_take(v, &e);

	memcpy(name, e.name, VM_EVENT_MAX);
	return r;
}
