/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/vm/qmp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/loop.h"
#include "host/run/stop.h"

enum {
	QMP_FIRST_ROOM = 16 << 10,
	CONNECT_PAUSE_MS = 5,
	/* A signal may come just before poll(2): it is seen after one slice at the latest. */
	POLL_SLICE_MS = 100,
};

struct qmp {
	int fd;
	char *buf;                          /* bytes read, lines not yet taken */
	size_t len, room;
	uint64_t next_id;
	json_t *events[QMP_EVENTS_MAX];     /* a ring */
	size_t first, n_events;
};

static uint64_t deadline(int ms)
{
	return monotonic_ns() + (uint64_t)ms * 1000000;
}

/* ---- lines ---- */

static int make_room(struct qmp *q, struct error *err)
{
	if (q->len < q->room)
		return 0;
	if (q->room >= QMP_LINE_MAX)
		return error_set(err, ERR_PROTOCOL, "QMP: a line of more than %d bytes", QMP_LINE_MAX);
	size_t room = q->room ? q->room * 2 : QMP_FIRST_ROOM;
	char *buf = realloc(q->buf, room);
	if (!buf)
		return error_set(err, ERR_LIMIT, "QMP: out of memory");
	q->buf = buf;
	q->room = room;
	return 0;
}

/* Waits until the socket is readable or the deadline passed. */
static int wait_readable(struct qmp *q, uint64_t end, struct error *err)
{
	struct pollfd pfd = { .fd = q->fd, .events = POLLIN };

	for (;;) {
		uint64_t now = monotonic_ns();

		if (stop_check(err))
			return -1;
		if (now >= end)
			return error_set(err, ERR_TIMEOUT, "QMP: no answer from QEMU in time");
		uint64_t left = (end - now) / 1000000 + 1;
		int n = poll(&pfd, 1, left < POLL_SLICE_MS ? (int)left : POLL_SLICE_MS);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return error_sys(err, errno, "QMP: poll");
	}
}

/* Bytes that came: 0 when there are none yet, -1 with err at the conversation's end. */
static ssize_t read_some(struct qmp *q, struct error *err)
{
	if (make_room(q, err))
		return -1;
	ssize_t n = recv(q->fd, q->buf + q->len, q->room - q->len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return error_sys(err, errno, "QMP: read");
	if (n == 0)
		return error_set(err, ERR_PROTOCOL, "QMP: QEMU closed the connection");
	q->len += (size_t)n;
	return n;
}

static const char *line_end(const struct qmp *q)
{
	return q->len ? memchr(q->buf, '\n', q->len) : NULL;
}

/* The next line as an object. */
static json_t *read_object(struct qmp *q, uint64_t end, struct error *err)
{
	while (!line_end(q))
		if (wait_readable(q, end, err) || read_some(q, err) < 0)
			return NULL;
	const char *newline = line_end(q);
	size_t n = (size_t)(newline - q->buf);
	json_t *j = json_loadb(q->buf, n, 0, NULL);
	if (!json_is_object(j)) {
		error_set(err, ERR_PROTOCOL, "QMP: a line of %zu bytes that is no JSON object", n);
		json_decref(j);
		return NULL;
	}
	memmove(q->buf, newline + 1, q->len - n - 1);
	q->len -= n + 1;
	return j;
}

/* ---- events ---- */

static void keep_event(struct qmp *q, json_t *event)
{
	if (q->n_events == QMP_EVENTS_MAX) {
		json_decref(q->events[q->first]);
		q->first = (q->first + 1) % QMP_EVENTS_MAX;
		q->n_events--;
	}
	q->events[(q->first + q->n_events++) % QMP_EVENTS_MAX] = event;
}

void qmp_gather(struct qmp *q)
{
	while (read_some(q, NULL) > 0)
		;
	while (line_end(q)) {
		json_t *j = read_object(q, 0, NULL);
		if (!j)
			return;
		/* Anything else is an answer to a command that was given up on. */
		if (json_object_get(j, "event"))
			keep_event(q, j);
		else
			json_decref(j);
	}
}

json_t *qmp_event(struct qmp *q)
{
	if (!q->n_events)
		return NULL;
	json_t *event = q->events[q->first];
	q->first = (q->first + 1) % QMP_EVENTS_MAX;
	q->n_events--;
	return event;
}

/* ---- commands ---- */

static int send_all(struct qmp *q, const char *p, size_t len, struct error *err)
{
	while (len) {
		ssize_t n = send(q->fd, p, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, errno, "QMP: write");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int send_command(struct qmp *q, const char *command, json_t *arguments, struct error *err)
{
	json_t *j = json_pack("{s:s, s:I}", "execute", command, "id", (json_int_t)++q->next_id);

	if (j && arguments)
		json_object_set(j, "arguments", arguments);
	autofree char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	if (!text)
		return error_set(err, ERR_USAGE, "QMP: \"%s\" cannot be said in JSON", command);
	size_t n = strlen(text);
	text[n] = '\n';     /* in the NUL's place: from here on it is bytes */
	return send_all(q, text, n + 1, err);
}

static int take_answer(const json_t *answer, const char *command, json_t **result, struct error *err)
{
	const json_t *fault = json_object_get(answer, "error");
	json_t *value = json_object_get(answer, "return");

	if (fault) {
		const char *desc = json_string_value(json_object_get(fault, "desc"));
		return error_set(err, ERR_FAILED, "QMP %s: %.400s", command, desc ? desc : "an error without a text");
	}
	if (!value)
		return error_set(err, ERR_PROTOCOL, "QMP %s: an answer that is neither return nor error", command);
	if (result)
		*result = json_incref(value);
	return 0;
}

static int execute_until(struct qmp *q, const char *command, json_t *arguments, uint64_t end, json_t **result, struct error *err)
{
	if (send_command(q, command, arguments, err))
		return -1;
	for (;;) {
		json_t *j = read_object(q, end, err);
		if (!j)
			return error_prefix(err, "%s", command);
		if (json_object_get(j, "event")) {
			keep_event(q, j);
			continue;
		}
		/* An answer to an earlier command that we gave up on. */
		const json_t *id = json_object_get(j, "id");
		bool ours = json_is_integer(id) && json_integer_value(id) == (json_int_t)q->next_id;
		int rc = ours ? take_answer(j, command, result, err) : 0;
		json_decref(j);
		if (ours)
			return rc;
	}
}

int qmp_execute(struct qmp *q, const char *command, json_t *arguments, int ms, json_t **result, struct error *err)
{
	if (result)
		*result = NULL;
	return execute_until(q, command, arguments, deadline(ms), result, err);
}

/* ---- the connection ---- */

static int connect_once(int fd, const char *path, struct error *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(a.sun_path))
		return error_set(err, ERR_LIMIT, "%s: too long a path for a UNIX socket", path);
	strcpy(a.sun_path, path);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return error_sys(err, errno, "%s: connect", path);
	return 0;
}

static int connect_until(const char *path, uint64_t end, int (*alive)(void *, struct error *), void *ctx, struct error *err)
{
	struct error why = { 0 };

	for (;;) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			return error_sys(err, errno, "QMP: socket");
		if (connect_once(fd, path, &why) == 0)
			return fd;
		close(fd);
		if (why.sys != ENOENT && why.sys != ECONNREFUSED)
			return error_set(err, why.code, "QMP: %s", why.text);
		if (stop_check(err) || (alive && !alive(ctx, err)))
			return -1;
		if (monotonic_ns() >= end)
			return error_set(err, ERR_TIMEOUT, "QMP: QEMU opened no socket in time (%s)", path);
		nanosleep(&(struct timespec){ .tv_nsec = CONNECT_PAUSE_MS * 1000000 }, NULL);
	}
}

static int greet(struct qmp *q, uint64_t end, struct error *err)
{
	json_t *hello = read_object(q, end, err);

	if (!hello)
		return -1;
	bool known = json_object_get(hello, "QMP") != NULL;
	json_decref(hello);
	if (!known)
		return error_set(err, ERR_PROTOCOL, "QMP: the greeting is not QEMU's");
	return execute_until(q, "qmp_capabilities", NULL, end, NULL, err);
}

struct qmp *qmp_open(const char *path, int ms, int (*alive)(void *ctx, struct error *err), void *ctx, struct error *err)
{
	uint64_t end = deadline(ms);
	struct qmp *q = calloc(1, sizeof(*q));

	if (!q) {
		error_set(err, ERR_LIMIT, "QMP: out of memory");
		return NULL;
	}
	q->fd = connect_until(path, end, alive, ctx, err);
	if (q->fd >= 0 && greet(q, end, err) == 0)
		return q;
	qmp_close(q);
	return NULL;
}

void qmp_close(struct qmp *q)
{
	if (!q)
		return;
	for (json_t *e = qmp_event(q); e; e = qmp_event(q))
		json_decref(e);
	if (q->fd >= 0)
		close(q->fd);
	free(q->buf);
	free(q);
}
