/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_THREAD_H
#define WEFT_BASE_THREAD_H

/*
 * A thread beside main. Signals are main's; only those of a fault of its own reach it, on a stack of their own, so that an
 * overflow of its stack is reported too (base/log_crash.h).
 *
 * A thread with a loop of its own shows that it goes on: it counts the turns of its loop, and notes when something began that
 * may take its time. daemon/watchdog.c looks at both.
 */

#include "base/queue.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

struct base_thread {
	const char *name; /* static, at most 15 characters */
	pthread_t id;
	/*
	 * Gets the thread to begin a turn soon, and does not wait for it. Called on main. NULL: nobody looks whether this thread
	 * goes on.
	 */
	void (*ask)(struct base_thread *thread);

	/* Any thread reads. */
	atomic_uint_least32_t turns;    /* of its loop, begun */
	atomic_uint_least64_t turn_ms;  /* when the last one began, clock_now_ms() */
	atomic_uint_least64_t moved_ms; /* when it last began something */
	atomic_int tid;                 /* 0: it does not run yet */

	/* Main's. */
	LIST_ENTRY(base_thread) link; /* while it runs, and has ASK */
	uint32_t turns_seen;          /* the watchdog's: TURNS when it asked last */
	bool silent;                  /* the watchdog's: it was reported */
};

/*
 * Starts RUN(ARG) as THREAD, whose NAME and ASK are set, and the rest zero; THREAD must stay until base_thread_join(). 0, or -1
 * with ERR (EAGAIN, ENOMEM). Main thread, if THREAD has ASK.
 */
int base_thread_start(struct base_thread *thread, void *(*run)(void *arg), void *arg, struct err *err);

/* Waits for its end. */
void base_thread_join(struct base_thread *thread);

/* Does not wait: it ends with the process. */
void base_thread_abandon(struct base_thread *thread);

/* The next thread with ASK after THREAD, NULL: the first; NULL when there is none. Main thread. */
struct base_thread *base_thread_next(const struct base_thread *thread);

/* A turn of THREAD's loop begins. Called by the thread itself. */
void base_thread_turn(struct base_thread *thread);

/*
 * Within a turn, the calling thread begins something that may take its time, such as a request to the kernel. On threads that
 * were not started by base_thread_start() it does nothing.
 */
void base_thread_move(void);

/*
 * Makes FAULTS the set of the signals of a fault: SIGSEGV, SIGBUS, SIGABRT, SIGFPE and SIGILL. A thread never blocks them: a fault
 * would then end the process without its handler. Any thread.
 */
void base_thread_fault_signals(sigset_t *faults);

/* Gives the calling thread MEMORY as the stack of its signal handlers, unless it has one. */
void base_thread_set_signal_stack(void *memory, size_t size);

/* The room that a signal handler needs. */
size_t base_thread_signal_stack_size(void);

#endif
