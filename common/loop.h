/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A single-threaded event loop over poll(2): descriptors and timers, fixed tables, no allocation
 * after loop_new(). Callbacks may add and remove anything, themselves included.
 */
#ifndef BIFOCAL_COMMON_LOOP_H
#define BIFOCAL_COMMON_LOOP_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

enum { LOOP_FDS_MAX = 64, LOOP_TIMERS_MAX = 64 };

struct loop;
typedef void loop_fd_fn(void *ctx, int fd, short revents);
typedef void loop_timer_fn(void *ctx);

struct loop *loop_new(struct error *err);
void loop_free(struct loop *l);              /* closes no descriptor */

/* `events` as in poll(2). One entry a descriptor; setting it again replaces it. */
int loop_fd(struct loop *l, int fd, short events, loop_fd_fn *fn, void *ctx, struct error *err);
void loop_fd_remove(struct loop *l, int fd);
/* Fires after `first_ns`, then every `period_ns` (0: once). Returns an id >= 0, or -1 with err.
 * A timer that fell behind fires once, not once for each period missed. */
int loop_timer(struct loop *l, uint64_t first_ns, uint64_t period_ns, loop_timer_fn *fn, void *ctx, struct error *err);
void loop_timer_remove(struct loop *l, int id);      /* -1 is fine */

/* Until loop_stop(). -1 with err when poll(2) fails. */
int loop_run(struct loop *l, struct error *err);
/* One round, waiting at most `timeout_ns` (UINT64_MAX: for ever). */
int loop_once(struct loop *l, uint64_t timeout_ns, struct error *err);
void loop_stop(struct loop *l);

uint64_t monotonic_ns(void);                 /* CLOCK_MONOTONIC */

#endif
