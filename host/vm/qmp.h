/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's machine protocol: one JSON object a line over a UNIX socket, commands answered by id, events in between.
 *
 * Everything is bounded: a line, the wait for it, the queue of events (the oldest go first). QEMU is trusted little: what
 * is no JSON object, too long, or never comes ends the conversation with an error, never with a hang.
 */
#ifndef BIFOCAL_HOST_VM_QMP_H
#define BIFOCAL_HOST_VM_QMP_H

#include <jansson.h>

#include "common/error.h"

enum {
	QMP_LINE_MAX = 4 << 20,     /* query-qmp-schema, the longest answer there is, has some 250 KiB */
	QMP_EVENTS_MAX = 64,
	QMP_TIMEOUT_MS = 5000,
};

struct qmp;

/* Connects to the socket (which may not be there yet), reads the greeting, negotiates: all within `ms`. `alive` is asked
 * between the attempts; when it says no (0, with err set) the wait ends at once. It may be NULL. */
struct qmp *qmp_open(const char *path, int ms, int (*alive)(void *ctx, struct error *err), void *ctx, struct error *err);
void qmp_close(struct qmp *q);
/* `arguments` is borrowed and may be NULL. *result (owned by the caller) if result is not NULL. QEMU's own error: ERR_FAILED with its text. */
int qmp_execute(struct qmp *q, const char *command, json_t *arguments, int ms, json_t **result, struct error *err);
/* Reads what has come, without waiting: events go to the queue. A broken conversation shows at the next command. */
void qmp_gather(struct qmp *q);
/* The oldest event not yet taken (owned by the caller), NULL when there is none. Reads nothing. */
json_t *qmp_event(struct qmp *q);

#endif
