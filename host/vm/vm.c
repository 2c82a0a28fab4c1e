/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/loop.h"
#include "host/vm/image.h"
#include "host/vm/scratch.h"
#include "host/vm/vm_priv.h"

enum {
	QMP_OPEN_MS = 20000,      /* QEMU takes 0.1 s to open its sockets; a node under load some seconds */
	LOG_LINES = 6,
	QUIT_MS = 2000,
};

/* ---- what QEMU said before it died ---- */

int machine_alive(struct machine *m, struct error *how)
{
	char end[48], said[1024];

	if (process_running(&m->process))
		return 1;
	process_how(&m->process, end, sizeof(end));
	file_tail(m->paths.qemu_log, LOG_LINES, said, sizeof(said));
	error_set(how, ERR_FAILED, "QEMU ended (%s)%s%s", end, said[0] ? ": " : "; it said nothing", said);
	return 0;
}

int vm_alive(struct vm *v, struct error *how)
{
	return machine_alive(v->aim_at_spare ? v->spare : v->now, how);
}

static int still_alive(void *ctx, struct error *err)
{
	return machine_alive(ctx, err);
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

/* The first QEMU's files have plain names; one that takes a guest over has its number behind them. */
void machine_name_files(struct machine *m, const char *dir, unsigned number)
{
	struct vm_paths *p = &m->paths;
	char nr[16] = "";

	if (number)
		snprintf(nr, sizeof(nr), "-%u", number);
	snprintf(p->dir, sizeof(p->dir), "%s", dir);
	snprintf(p->control, sizeof(p->control), "%s/control%s", dir, nr);
	snprintf(p->data, sizeof(p->data), "%s/data%s", dir, nr);
	snprintf(p->qmp, sizeof(p->qmp), "%s/qmp%s", dir, nr);
	snprintf(p->serial_log, sizeof(p->serial_log), "%s/serial%s.log", dir, nr);
	snprintf(p->qemu_log, sizeof(p->qemu_log), "%s/qemu%s.log", dir, nr);
	snprintf(p->trace_log, sizeof(p->trace_log), "%s/vmm-trace%s.log", dir, nr);
	snprintf(p->trace_file, sizeof(p->trace_file), "%s/vmm-trace%s.bin", dir, nr);
	if (number)
		snprintf(p->incoming, sizeof(p->incoming), "%s/in%s", dir, nr);
}

static int make_files(struct vm *v, const struct config *c, struct error *err)
{
	struct rundir_need need = scratch_need(c);
	struct vm_paths *p = &v->now->paths;

	rundir_sweep();
	if (rundir_make(&need, &v->rundir, err))
		return -1;
	machine_name_files(v->now, v->rundir.path, 0);
	if (image_prepare(c, p, err))
		return -1;
	return scratch_make(c, v->rundir.path, p->scratch, sizeof(p->scratch), err);
}

int machine_start(struct vm *v, struct machine *m, struct error *err)
{
	char *argv[VM_ARGS_MAX];

	if (qemu_args(v->config, &v->qemu, v->kvm, &m->paths, argv, err))
		return -1;
	m->command_line = quote_line(argv);
	int rc = m->command_line ? process_start(&m->process, argv, m->paths.qemu_log, err) : error_set(err, ERR_LIMIT, "out of memory");
	qemu_args_free(argv);
	return rc;
}

/* When QEMU died meanwhile, its own words say more than a broken socket. */
static int prefer_death(struct machine *m, struct error *err)
{
	struct error how = { 0 };

	if (err && err->code == ERR_INTERRUPTED)
		return -1;
	if (process_wait(&m->process, 100) && !machine_alive(m, &how) && err)
		*err = how;
	return -1;
}

int machine_greet(struct machine *m, int ms, struct error *err)
{
	m->qmp = qmp_open(m->paths.qmp, ms, still_alive, m, err);
	if (!m->qmp || threads_learn(&m->threads, m->process.pid, m->qmp, err))
		return prefer_death(m, err);
	return 0;
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	process_kill(&m->process);
	qmp_close(m->qmp);
	free(m->command_line);
	free(m);
}

static int start(struct vm *v, const struct config *c, struct error *err)
{
	uint64_t boot_ms = config_uint(c, CFG_VM_BOOT_TIMEOUT) / 1000000;

	if (config_check(c, err) || qemu_probe(c, &v->qemu, err) || image_find(c, &v->now->paths, err) || make_files(v, c, err) ||
	    machine_start(v, v->now, err))
		return -1;
	return machine_greet(v->now, boot_ms < QMP_OPEN_MS ? (int)boot_ms : QMP_OPEN_MS, err);
}

struct vm *vm_start(const struct config *c, const struct accel_choice *accel, struct error *err)
{
	struct error why = { 0 };
	struct vm *v = calloc(1, sizeof(*v));

	if (v)
		v->rundir.lock_fd = -1;
	if (!v || !(v->now = v->machine[0] = calloc(1, sizeof(*v->now)))) {
		vm_free(v);
		error_set(err, ERR_LIMIT, "out of memory");
		return NULL;
	}
	v->machines = 1;
	v->config = c;
	v->kvm = accel->kvm;
	if (start(v, c, &why)) {
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

	struct machine *m = v->now;

	vm_spare_drop(v);
	if (process_running(&m->process) && m->qmp)
		qmp_execute(m->qmp, "quit", NULL, ms < QUIT_MS ? ms : QUIT_MS, NULL, NULL);
	bool by_itself = process_wait(&m->process, ms);
	process_kill(&m->process);
	process_how(&m->process, how, sizeof(how));
	if (!by_itself)
		return error_set(err, ERR_TIMEOUT, "QEMU did not quit in %d ms and was killed", ms);
	if (m->process.status)
		return error_set(err, ERR_FAILED, "QEMU ended with %s", how);
	return 0;
}

void vm_free(struct vm *v)
{
	if (!v)
		return;
	for (unsigned i = 0; i < v->machines; i++)
		machine_free(v->machine[i]);
	rundir_remove(&v->rundir);
	free(v);
}

int vm_sweep(void)
{
	return rundir_sweep();
}

/* ---- in between ---- */

static struct machine *aimed(const struct vm *v)
{
	return v->aim_at_spare ? v->spare : v->now;
}

void vm_aim(struct vm *v, bool spare)
{
	v->aim_at_spare = spare && v->spare;
}

bool vm_is_emulated(const struct vm *v)
{
	return !v->kvm;
}

pid_t vm_pid(const struct vm *v)
{
	return aimed(v)->process.pid;
}

const struct vm_paths *vm_paths(const struct vm *v)
{
	return &aimed(v)->paths;
}

const struct qemu_info *vm_qemu(const struct vm *v)
{
	return &v->qemu;
}

const char *vm_command_line(const struct vm *v)
{
	return v->machine[0]->command_line;
}

size_t vm_threads(struct vm *v, struct probe_thread *out, size_t cap)
{
	return threads_list(&v->now->threads, out, cap);
}

char *vm_console_tail(const struct vm *v, int lines, char *dst, size_t cap)
{
	return file_tail(v->now->paths.serial_log, lines, dst, cap);
}

int vm_qmp(struct vm *v, const char *command, const char *args_json, char **out, struct error *err)
{
	json_error_t where;
	json_t *args = NULL, *result = NULL;

	if (out)
		*out = NULL;
	if (args_json && !(args = json_loads(args_json, 0, &where)))
		return error_set(err, ERR_USAGE, "QMP %s: arguments are not JSON: %s", command, where.text);
	int rc = qmp_execute(aimed(v)->qmp, command, args, QMP_TIMEOUT_MS, out ? &result : NULL, err);
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

/* The spare's are read first and given last: what it says follows from what the other one did. */
static json_t *next_event(struct vm *v, bool *spare)
{
	if (v->spare && v->spare->qmp)
		qmp_gather(v->spare->qmp);
	qmp_gather(v->now->qmp);
	json_t *event = qmp_event(v->now->qmp);
	*spare = !event && v->spare && v->spare->qmp;
	return *spare ? qmp_event(v->spare->qmp) : event;
}

int vm_event_take(struct vm *v, struct vm_event *out)
{
	bool spare;
	json_t *event = next_event(v, &spare);
	const json_t *data = json_object_get(event, "data"), *stamp = json_object_get(event, "timestamp");
	json_int_t s = json_integer_value(json_object_get(stamp, "seconds")), us = json_integer_value(json_object_get(stamp, "microseconds"));

	*out = (struct vm_event){ .spare = spare };
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
