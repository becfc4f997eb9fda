/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handler writes what the queue holds and its own line, as far as the reader takes them at once, restores what the signal did
 * before, and returns. A fault of the processor then happens once more, at the same place, so that the core shows it; a signal
 * that was sent is sent again. Everything here is async-signal-safe: no memory, no stdio, no lock that is waited for.
 */
#include "base/log_crash.h"

#include "base/assert.h"
#include "base/log_line.h"
#include "base/log_queue.h"
#include "base/log_sink.h"
#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	ADDRESS_SIZE = 2 + 16 + 1,
	THREAD_NAME_SIZE = 16,
	STACK_SIZE = 64 * 1024,
	WRITE_PATIENCE_MS = 100, /* that the end of a write of the log's thread is worth */
};

static struct fatal_signal {
	int number;
	const char *name;
	struct sigaction former;
} fatal_signals[] = {
	{ .number = SIGSEGV, .name = "SEGV" }, { .number = SIGBUS, .name = "BUS" },
	{ .number = SIGABRT, .name = "ABRT" }, { .number = SIGFPE, .name = "FPE" },
	{ .number = SIGILL, .name = "ILL" },
};

enum { FATAL_SIGNALS = sizeof(fatal_signals) / sizeof(fatal_signals[0]) };

static atomic_int crashing;        /* the thread that ends the process; 0: none */
static struct log_line crash_line; /* its; as large as a page or two of the signal stack */
static _Alignas(16) char main_stack[STACK_SIZE];

/* Whether this thread is the first, and writes the line. Others wait for the end of the process. */
static bool log_crash_begin(void)
{
	int self = (int)syscall(SYS_gettid);
	int nobody = 0;

	if (atomic_compare_exchange_strong(&crashing, &nobody, self))
		return true;
	while (nobody != self)
		pause();
	return false;
}

static void log_crash_write(const char *message, const struct log_field *fields)
{
	log_queue_offer_all(WRITE_PATIENCE_MS);
	log_line_compose(&crash_line, LOG_ERROR_LEVEL, message, fields);
	if (!log_sink_offer(crash_line.target, crash_line.level, crash_line.bytes, crash_line.size) &&
	    crash_line.target != LOG_TO_STDERR)
		log_sink_offer(LOG_TO_STDERR, crash_line.level, crash_line.bytes + crash_line.start,
			       crash_line.text_end + 1 - crash_line.start);
}

static const char *log_crash_thread_name(char name[static THREAD_NAME_SIZE])
{
	if (prctl(PR_GET_NAME, name) < 0)
		name[0] = '\0';
	return name;
}

static const char *log_crash_format_address(const void *address, char text[static ADDRESS_SIZE])
{
	static const char hex[] = "0123456789abcdef";
	uintptr_t rest = (uintptr_t)address;
	char *digit = text + ADDRESS_SIZE - 1;

	*digit = '\0';
	do
		*--digit = hex[rest & 15];
	while (rest >>= 4);
	*--digit = 'x';
	*--digit = '0';
	return digit;
}

/* Of a fault; signals of kill(2) and the like have a sender instead, and one advice about memory has neither. */
static bool log_crash_is_repeated(const siginfo_t *info)
{
	return info->si_code > 0 && !(info->si_signo == SIGBUS && info->si_code == BUS_MCEERR_AO);
}

static void log_crash_report(const struct fatal_signal *signal, const siginfo_t *info)
{
	char name[THREAD_NAME_SIZE], address[ADDRESS_SIZE];
	bool has_address = log_crash_is_repeated(info);
	bool has_sender = info->si_code == SI_USER;

	log_crash_write("weftd crashes",
			(const struct log_field[]){
			    F_STR("signal", signal->name),
			    F_STR("thread", log_crash_thread_name(name)),
			    F_STR("address", has_address ? log_crash_format_address(info->si_addr, address) : NULL),
			    F_SOME("sender", has_sender ? (uint64_t)info->si_pid : 0),
			    { 0 } });
}

static void log_crash_on_signal(int number, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)context;
	for (size_t i = 0; i < FATAL_SIGNALS; i++) {
		if (fatal_signals[i].number != number)
			continue;
		if (log_crash_begin())
			log_crash_report(&fatal_signals[i], info);
		sigaction(number, &fatal_signals[i].former, NULL);
	}
	/* Blocked until the handler has returned. */
	if (!log_crash_is_repeated(info))
		syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), number);
	errno = saved;
}

void log_crash_catch(void)
{
	struct sigaction action = { .sa_sigaction = log_crash_on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	sigset_t faults;

	sigfillset(&action.sa_mask);
	base_thread_set_signal_stack(main_stack, sizeof(main_stack));
	for (size_t i = 0; i < FATAL_SIGNALS; i++)
		sigaction(fatal_signals[i].number, &action, &fatal_signals[i].former);
	/* A parent may have left them blocked. */
	base_thread_fault_signals(&faults);
	pthread_sigmask(SIG_UNBLOCK, &faults, NULL);
}

void log_assertion_failed(const char *condition, const char *file, unsigned line, const char *function)
{
	char name[THREAD_NAME_SIZE];

	if (log_crash_begin())
		log_crash_write("assertion failed",
				(const struct log_field[]){ F_STR("condition", condition),
							    F_STR("file", file),
							    F_UINT("line", line),
							    F_STR("function", function),
							    F_STR("thread", log_crash_thread_name(name)),
							    { 0 } });
	abort();
}
