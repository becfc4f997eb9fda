/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block that is allocated for a start carries the arguments and is the signal stack later. The thread frees it when it ends,
 * after it took the stack away. A sanitizer gives each thread a signal stack itself, which then is left in place.
 */
#include "base/thread.h"

#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SIGNAL_STACK_MIN = 32 * 1024 };

static LIST_HEAD(, base_thread) watched = LIST_HEAD_INITIALIZER(watched); /* main's */

static _Thread_local struct base_thread *self;

struct thread_start {
	struct base_thread *thread;
	void *(*run)(void *arg);
	void *arg;
	_Alignas(max_align_t) char stack[];
};

size_t base_thread_signal_stack_size(void)
{
	long wanted = sysconf(_SC_SIGSTKSZ); /* more with wide registers */

	return wanted > SIGNAL_STACK_MIN ? (size_t)wanted : SIGNAL_STACK_MIN;
}

static bool base_thread_has_signal_stack(void)
{
	stack_t now;

	return sigaltstack(NULL, &now) == 0 && !(now.ss_flags & SS_DISABLE);
}

void base_thread_set_signal_stack(void *memory, size_t size)
{
	stack_t stack = { .ss_sp = memory, .ss_size = size };

	/* Without one, handlers run on the common stack. */
	if (!base_thread_has_signal_stack())
		(void)sigaltstack(&stack, NULL);
}

static void base_thread_take_signal_stack(const void *memory)
{
	const stack_t none = { .ss_flags = SS_DISABLE };
	stack_t now;

	if (sigaltstack(NULL, &now) == 0 && now.ss_sp == memory)
		(void)sigaltstack(&none, NULL);
}

static void *base_thread_run(void *arg)
{
	struct thread_start *start = arg;
	void *result;

	self = start->thread;
	atomic_store(&self->tid, (int)syscall(SYS_gettid));
	base_thread_set_signal_stack(start->stack, base_thread_signal_stack_size());
	result = start->run(start->arg);
	base_thread_take_signal_stack(start->stack);
	free(start);
	return result;
}

void base_thread_fault_signals(sigset_t *faults)
{
	static const int numbers[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };

	sigemptyset(faults);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(faults, numbers[i]);
}

static void base_thread_block_signals(sigset_t *former)
{
	sigset_t all, faults;

	sigfillset(&all);
	base_thread_fault_signals(&faults);
	pthread_sigmask(SIG_SETMASK, &all, former);
	pthread_sigmask(SIG_UNBLOCK, &faults, NULL);
}

int base_thread_start(struct base_thread *thread, void *(*run)(void *arg), void *arg, struct err *err)
{
	struct thread_start *start = malloc(sizeof(*start) + base_thread_signal_stack_size());
	sigset_t former;
	int code;

	if (!start)
		return err_set(err, ENOMEM, "thread %s", thread->name);
	*start = (struct thread_start){ .thread = thread, .run = run, .arg = arg };
	atomic_store(&thread->turn_ms, clock_now_ms());
	atomic_store(&thread->moved_ms, clock_now_ms());
	base_thread_block_signals(&former);
	code = pthread_create(&thread->id, NULL, base_thread_run, start);
	pthread_sigmask(SIG_SETMASK, &former, NULL);
	if (code) {
		free(start);
		return err_set(err, code, "thread %s", thread->name);
	}
	pthread_setname_np(thread->id, thread->name);
	if (thread->ask)
		LIST_INSERT_HEAD(&watched, thread, link);
	return 0;
}

void base_thread_join(struct base_thread *thread)
{
	if (thread->ask)
		LIST_REMOVE(thread, link);
	pthread_join(thread->id, NULL);
}

void base_thread_abandon(struct base_thread *thread)
{
	if (thread->ask)
		LIST_REMOVE(thread, link);
	pthread_detach(thread->id);
}

struct base_thread *base_thread_next(const struct base_thread *thread)
{
	return thread ? LIST_NEXT(thread, link) : LIST_FIRST(&watched);
}

void base_thread_turn(struct base_thread *thread)
{
	uint64_t now_ms = clock_now_ms();

	atomic_fetch_add_explicit(&thread->turns, 1, memory_order_relaxed);
	atomic_store_explicit(&thread->turn_ms, now_ms, memory_order_relaxed);
	atomic_store_explicit(&thread->moved_ms, now_ms, memory_order_relaxed);
}

void base_thread_move(void)
{
	if (self)
		atomic_store_explicit(&self->moved_ms, clock_now_ms(), memory_order_relaxed);
}
