/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/trace/vmm_events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

static bool first_of_name(size_t i)
{
	return qemu_event_find(qemu_events[i].name, strlen(qemu_events[i].name), 0) == i;
}

/* 1: it has the event; 0: not; -1: no answer. */
static int ask(struct vm *vm, const char *name, struct error *err)
{
	autofree char *answer = NULL;
	char args[QEMU_NAME_MAX + 32];
	struct error why = { 0 };

	snprintf(args, sizeof(args), "{\"name\":\"%s\"}", name);
	if (vm_qmp(vm, "trace-event-get-state", args, &answer, &why)) {
		/* QEMU says `unknown event "…"`; anything else is a broken connection. */
		if (strstr(why.text, "unknown event"))
			return 0;
		if (err)
			*err = why;
		return -1;
	}
	return !strstr(answer, "unavailable");
}

static bool has_event(void *ctx, const char *name)
{
	const struct vmm_events *v = ctx;
	size_t i = qemu_event_find(name, strlen(name), 0);

	return i < qemu_events_count && v->has[i];
}

int vmm_events_find(struct vmm_events *v, struct vm *vm, struct error *err)
{
	bool any = false;

	*v = (struct vmm_events){ .vm = vm };
	for (size_t i = 0; i < qemu_events_count; i++) {
		int has = first_of_name(i) ? ask(vm, qemu_events[i].name, err) : has_event(v, qemu_events[i].name);

		if (has < 0)
			return -1;
		v->has[i] = has;
		any |= has;
	}
	qemu_events_known(&v->state, has_event, v);
	if (any)
		return 0;
	return error_set(err, ERR_NOT_FOUND, "QEMU %u.%u has none of the trace events wanted: it was built with --enable-trace-backends=nop",
			 vm_qemu(vm)->major, vm_qemu(vm)->minor);
}

static int switch_one(struct vmm_events *v, const char *name, bool on, struct error *err)
{
	char args[QEMU_NAME_MAX + 48];

	snprintf(args, sizeof(args), "{\"name\":\"%s\",\"enable\":%s}", name, on ? "true" : "false");
	return vm_qmp(v->vm, "trace-event-set-state", args, NULL, err);
}

int vmm_events_switch(struct vmm_events *v, bool on, struct error *err)
{
	if (!v->vm || v->on == on)
		return 0;
	v->on = on;
	for (size_t i = 0; i < qemu_events_count; i++) {
		if (!v->has[i] || v->state.dropped[i] || !first_of_name(i) || !switch_one(v, qemu_events[i].name, on, err))
			continue;
		if (!on && !vm_alive(v->vm, NULL))
			return 0;
		return -1;
	}
	return 0;
}

static bool kind_shown(const struct vmm_events *v, unsigned kind)
{
	for (size_t i = 0; i < qemu_events_count; i++)
		if (qemu_events[i].kind == kind && v->has[i])
			return true;
	return false;
}

int vmm_events_absent(const struct vmm_events *v, struct store_batch *b, uint64_t run, struct error *err)
{
	char key[64], text[96];

	snprintf(text, sizeof(text), "QEMU %u.%u has no such trace event", vm_qemu(v->vm)->major, vm_qemu(v->vm)->minor);
	for (size_t i = 0; i < qemu_events_count; i++) {
		if (kind_shown(v, qemu_events[i].kind))
			continue;
		snprintf(key, sizeof(key), "absent.%s", sight_name(qemu_events[i].kind));
		if (put_attr(b, run, key, text, err))
			return -1;
	}
	return 0;
}
