/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The QMP client against a scripted peer: a child that says its lines, one after each it hears. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/vm/qmp.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"
#define CAPABLE "{\"return\": {}, \"id\": 1}\r\n"

static char dir[64], path[96];
static pid_t peer;

static void write_text(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);
		if (n <= 0)
			_exit(0);
		text += n;
		len -= (size_t)n;
	}
}

/* lines[0] on connection, lines[i] when the i-th command has come; then the connection closes if `closing`. */
static void play(int listener, const char *const lines[], bool closing)
{
	char heard[4096];
	int fd = accept(listener, NULL, NULL);

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; lines[i]; i++) {
		if (i && read(fd, heard, sizeof(heard)) <= 0)
			_exit(0);
		write_text(fd, lines[i], strlen(lines[i]));
	}
	if (!closing)
		pause();
	_exit(0);
}

static void start_peer(const char *const lines[], bool closing)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 1), 0);
	peer = fork();
	if (peer == 0)
		play(listener, lines, closing);
	close(listener);
}

static int stop_peer(void **state)
{
	(void)state;
	if (peer > 0) {
		kill(peer, SIGKILL);
		waitpid(peer, NULL, 0);
	}
	peer = 0;
	unlink(path);
	return 0;
}

#define LINES(...) (const char *const[]){ __VA_ARGS__, NULL }

static struct qmp *open_to(const char *const lines[])
{
	struct error err = { 0 };

	start_peer(lines, false);
	struct qmp *q = qmp_open(path, 5000, NULL, NULL, &err);
	if (!q)
		fail_msg("%s", err.text);
	return q;
}

static void open_fails(const char *const lines[], bool closing, int ms, enum err_code code, const char *words)
{
	struct error err = { 0 };

	start_peer(lines, closing);
	assert_null(qmp_open(path, ms, NULL, NULL, &err));
	if (err.code != code || !strstr(err.text, words))
		fail_msg("code %d, \"%s\" should hold \"%s\"", err.code, err.text, words);
	stop_peer(NULL);
}

static void test_talk(void **state)
{
	(void)state;
	struct error err = { 0 };
	json_t *result = NULL;
	struct qmp *q = open_to(LINES(GREETING, CAPABLE, "{\"return\": [1, 2], \"id\": 2}\r\n",
				      "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no disk\"}, \"id\": 3}\r\n",
				      "{\"neither\": 1, \"id\": 4}\r\n"));

	assert_int_equal(qmp_execute(q, "query-a", NULL, 5000, &result, &err), 0);
	assert_int_equal(json_array_size(result), 2);
	json_decref(result);
	assert_int_equal(qmp_execute(q, "query-b", NULL, 5000, &result, &err), -1);
	assert_null(result);
	assert_int_equal(err.code, ERR_FAILED);
	assert_string_equal(err.text, "QMP query-b: no disk");
	assert_int_equal(qmp_execute(q, "query-c", NULL, 5000, &result, &err), -1);
	assert_int_equal(err.code, ERR_PROTOCOL);
	qmp_close(q);
	qmp_close(NULL);
}

/* Events come in between, and an answer to a command given up on comes late. */
static void test_events(void **state)
{
	(void)state;
	struct error err = { 0 };
	json_t *result = NULL;
	struct qmp *q = open_to(LINES(GREETING, CAPABLE, "{\"event\": \"STOP\"}\r\n{\"event\": \"RESUME\"}\r\n",
				      "{\"return\": \"late\", \"id\": 2}\r\n{\"return\": \"now\", \"id\": 3}\r\n"));

	assert_int_equal(qmp_execute(q, "slow", NULL, 50, &result, &err), -1);
	assert_int_equal(err.code, ERR_TIMEOUT);
	assert_int_equal(qmp_execute(q, "quick", NULL, 5000, &result, &err), 0);
	assert_string_equal(json_string_value(result), "now");
	json_decref(result);
	for (int i = 0; i < 2; i++) {
		json_t *e = qmp_event(q);
		assert_string_equal(json_string_value(json_object_get(e, "event")), i ? "RESUME" : "STOP");
		json_decref(e);
	}
	assert_null(qmp_event(q));
	qmp_close(q);
}

static void test_too_many_events(void **state)
{
	(void)state;
	enum { SENT = QMP_EVENTS_MAX + 10 };
	static char flood[SENT * 40 + 64];
	size_t n = 0;

	for (int i = 0; i < SENT; i++)
		n += (size_t)snprintf(flood + n, sizeof(flood) - n, "{\"event\": \"E\", \"n\": %d}\r\n", i);
	snprintf(flood + n, sizeof(flood) - n, "{\"return\": {}, \"id\": 2}\r\n");
	struct qmp *q = open_to(LINES(GREETING, CAPABLE, flood));
	assert_int_equal(qmp_execute(q, "x", NULL, 5000, NULL, NULL), 0);
	for (int i = 10; i < SENT; i++) {
		json_t *e = qmp_event(q);
		assert_int_equal(json_integer_value(json_object_get(e, "n")), i);
		json_decref(e);
	}
	assert_null(qmp_event(q));
	qmp_close(q);
}

static void test_broken_peers(void **state)
{
	(void)state;
	char *endless = malloc(QMP_LINE_MAX + 2);

	open_fails(LINES(""), false, 100, ERR_TIMEOUT, "in time");
	open_fails(LINES(GREETING), false, 100, ERR_TIMEOUT, "qmp_capabilities");
	open_fails(LINES(""), true, 5000, ERR_PROTOCOL, "closed");
	open_fails(LINES("{\"QMP\": {}"), true, 5000, ERR_PROTOCOL, "closed");
	open_fails(LINES("\r\n"), false, 5000, ERR_PROTOCOL, "no JSON object");
	open_fails(LINES("[1]\r\n"), false, 5000, ERR_PROTOCOL, "no JSON object");
	open_fails(LINES("{\"a\": \"\xff\xfe\"}\r\n"), false, 5000, ERR_PROTOCOL, "no JSON object");
	open_fails(LINES("{\"return\": {}}\r\n"), false, 5000, ERR_PROTOCOL, "greeting");
	open_fails(LINES(GREETING, "{\"error\": {}, \"id\": 1}\r\n"), false, 5000, ERR_FAILED, "without a text");
	memset(endless, 'x', QMP_LINE_MAX + 1);
	endless[QMP_LINE_MAX + 1] = '\0';
	open_fails(LINES(endless), false, 5000, ERR_PROTOCOL, "a line of more than");
	memset(endless, '[', 100000);
	endless[100000] = '\n';
	endless[100001] = '\0';
	open_fails(LINES(endless), false, 5000, ERR_PROTOCOL, "no JSON object");
	free(endless);
}

static int dead(void *ctx, struct error *err)
{
	(*(int *)ctx)++;
	error_set(err, ERR_FAILED, "it died");
	return 0;
}

static void test_no_socket(void **state)
{
	(void)state;
	struct error err = { 0 };
	int asked = 0;
	char far[300];

	assert_null(qmp_open(path, 50, NULL, NULL, &err));
	assert_int_equal(err.code, ERR_TIMEOUT);
	assert_null(qmp_open(path, 60000, dead, &asked, &err));
	assert_string_equal(err.text, "it died");
	assert_int_equal(asked, 1);
	snprintf(far, sizeof(far), "/%0*d", 200, 0);
	assert_null(qmp_open(far, 60000, NULL, NULL, &err));
	assert_int_equal(err.code, ERR_LIMIT);
}

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/bfqmp-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/qmp", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_talk, stop_peer),
		cmocka_unit_test_teardown(test_events, stop_peer),
		cmocka_unit_test_teardown(test_too_many_events, stop_peer),
		cmocka_unit_test_teardown(test_broken_peers, stop_peer),
		cmocka_unit_test_teardown(test_no_socket, stop_peer),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
