/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever the log's reader does, nobody waits for it; and what it does not get, it is told of. */
#include "base/log_queue.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/log.h"
#include "unit/run_suite.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int stderr_before, reader;
static char text[4 * LOG_QUEUE_SIZE];
static size_t text_size;

/* Stderr is a pipe whose reader stands still until read_line(). */
static void setup(void)
{
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	stderr_before = dup(STDERR_FILENO);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	reader = ends[0];
	text_size = 0;
}

static void teardown(void)
{
	dup2(stderr_before, STDERR_FILENO);
	close(stderr_before);
	close(reader);
}

static void start(void)
{
	struct err err;

	ck_assert_msg(log_start(&err) == 0, "%s", err.text);
}

/* The next line that was logged, without its time and its end; waits for it. "" at the pipe's end. */
static const char *read_line(void)
{
	static char line[8192];
	char *end;

	while (!(end = memchr(text, '\n', text_size))) {
		ssize_t got = read(reader, text + text_size, sizeof(text) - text_size);

		ck_assert_int_ge(got, 0);
		if (got == 0)
			return "";
		text_size += (size_t)got;
	}
	size_t length = (size_t)(end - text);
	ck_assert_uint_lt(length, sizeof(line));
	memcpy(line, text, length);
	line[length] = '\0';
	text_size -= length + 1;
	memmove(text, end + 1, text_size);
	return strncmp(line, "time=", 5) == 0 ? strchr(line, ' ') + 1 : line;
}

static void read_to_end(void)
{
	ssize_t got;

	text_size = 0;
	while ((got = read(reader, text, sizeof(text))) > 0)
		;
	ck_assert_int_eq(got, 0);
}

/* No matter how the queue's places fall: lines of all lengths up to some hundred bytes. */
static void log_numbered(unsigned number)
{
	static const char pad[] =
	    "................................................................................................";

	log_info("line", F_UINT("n", number), F_STR("pad", pad + number * 7 % (sizeof(pad) - 1)));
}

static void expect_numbered(unsigned number)
{
	char start_of[64];

	snprintf(start_of, sizeof(start_of), "level=info msg=line n=%u pad=", number);
	ck_assert_msg(strncmp(read_line(), start_of, strlen(start_of)) == 0, "line %u is missing", number);
}

START_TEST(nobody_waits_for_a_reader_and_lost_lines_are_counted)
{
	enum { LINES = 20000 };
	unsigned kept = 0;
	unsigned long count;
	char since[64];

	start();
	for (unsigned i = 0; i < LINES; i++)
		log_numbered(i);
	count = log_lost();
	ck_assert_uint_gt(count, 0);
	ck_assert_uint_gt(LINES - count, LOG_QUEUE_SIZE / 256); /* the queue was used to its end */

	for (; kept < LINES - count; kept++)
		expect_numbered(kept);
	char line[256];
	snprintf(line, sizeof(line), "%s", read_line());
	unsigned long told;
	ck_assert_msg(sscanf(line, "level=warning msg=\"log lines lost\" count=%lu since=%63s", &told, since) == 2,
		      "%s", line);
	ck_assert_uint_eq(told, count);
	ck_assert_ptr_nonnull(strchr(since, 'Z'));

	/* It goes on as if nothing had been, and around the ring's end. */
	for (unsigned i = 0; i < LINES; i += 10) {
		for (unsigned j = i; j < i + 10; j++)
			log_numbered(j);
		for (unsigned j = i; j < i + 10; j++)
			expect_numbered(j);
	}
	ck_assert_uint_eq(log_lost(), count);
	log_stop();
}
END_TEST

START_TEST(after_a_loss_the_count_comes_before_all_later_lines)
{
	unsigned logged = 0;
	unsigned long read = 0;
	const char *line;

	start();
	while (!log_lost())
		log_numbered(logged++);
	/* A reader that is slower than those who log: each line is in order, or counted. */
	for (unsigned rounds = 0; rounds < 30000; rounds++) {
		unsigned long told;

		log_numbered(logged++);
		line = read_line();
		if (sscanf(line, "level=warning msg=\"log lines lost\" count=%lu", &told) == 1)
			read += told;
		else if (sscanf(line, "level=info msg=line n=%lu", &told) == 1)
			ck_assert_uint_eq(told, read++);
		else
			ck_abort_msg("%s", line);
	}
	close(reader); /* so that the rest is refused at once */
	log_stop();
	reader = dup(STDERR_FILENO);
}
END_TEST

static sem_t turns[3];

static void *log_in_turn(void *arg)
{
	unsigned mine = (unsigned)(size_t)arg;

	for (unsigned i = mine; i < 3000; i += 3) {
		sem_wait(&turns[mine]);
		log_numbered(i);
		sem_post(&turns[(mine + 1) % 3]);
	}
	return NULL;
}

START_TEST(lines_are_in_the_order_of_the_calls_whatever_the_thread)
{
	pthread_t threads[3];

	for (size_t i = 0; i < 3; i++)
		sem_init(&turns[i], 0, i == 0);
	start();
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, log_in_turn, (void *)i), 0);
	for (unsigned i = 0; i < 3000; i++)
		expect_numbered(i);
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	log_stop();
}
END_TEST

static void *read_all(void *arg)
{
	unsigned *count = arg;

	while (*read_line())
		++*count;
	return NULL;
}

START_TEST(at_the_end_all_is_written_for_a_reader_that_reads)
{
	pthread_t thread;
	unsigned count = 0;

	start();
	for (unsigned i = 0; i < 2000; i++)
		log_numbered(i);
	ck_assert_int_eq(pthread_create(&thread, NULL, read_all, &count), 0);
	log_queue_stop(30000); /* log_stop() would not wait as long for a machine that stands still */
	log_info("written by the caller again");
	dup2(stderr_before, STDERR_FILENO);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(count, 2001);
	ck_assert_uint_eq(log_lost(), 0);
}
END_TEST

/* By its name, for a sanitizer may have a thread of its own. */
static bool log_thread_runs(void)
{
	DIR *tasks = opendir("/proc/self/task");
	bool found = false;

	ck_assert_ptr_nonnull(tasks);
	for (const struct dirent *task; (task = readdir(tasks));) {
		char path[300], name[16] = "";

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task->d_name);
		FILE *file = fopen(path, "re");
		if (!file)
			continue;
		found |= fgets(name, sizeof(name), file) && strcmp(name, "weft-log\n") == 0;
		fclose(file);
	}
	closedir(tasks);
	return found;
}

START_TEST(the_end_waits_for_no_reader_that_stands_still)
{
	start();
	for (unsigned i = 0; i < 2000; i++)
		log_numbered(i);
	log_stop();
	log_info("lost");
	ck_assert_uint_eq(log_lost(), 1);
	/* Whoever shares stderr finds it as it was. */
	ck_assert_int_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
	/* The abandoned thread ends when its reader has gone, and leaves the test's own output alone. */
	ck_assert(log_thread_runs());
	close(reader);
	while (log_thread_runs())
		poll(NULL, 0, 1);
	reader = dup(STDERR_FILENO);
}
END_TEST

START_TEST(a_stderr_that_somebody_else_made_non_blocking_loses_nothing)
{
	ck_assert_int_eq(fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK), 0);
	start();
	for (unsigned i = 0; i < 2000; i++)
		log_numbered(i);
	for (unsigned i = 0; i < 2000; i++)
		expect_numbered(i);
	log_stop();
	ck_assert_uint_eq(log_lost(), 0);
}
END_TEST

START_TEST(lines_that_the_reader_refuses_are_counted_when_it_takes_the_next)
{
	int pipe_end = dup(STDERR_FILENO);
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct pollfd pause = { .fd = -1 };
	char line[256];
	unsigned long count;

	ck_assert_int_ge(full, 0);
	start();
	dup2(full, STDERR_FILENO);
	for (unsigned i = 0; i < 3; i++)
		log_numbered(i);
	while (log_lost() < 3)
		poll(&pause, 1, 1);
	dup2(pipe_end, STDERR_FILENO);
	close(pipe_end);
	close(full);
	log_numbered(3);
	expect_numbered(3);
	snprintf(line, sizeof(line), "%s", read_line());
	ck_assert_msg(sscanf(line, "level=warning msg=\"log lines lost\" count=%lu", &count) == 1, "%s", line);
	ck_assert_uint_eq(count, 3);
	log_stop();
	ck_assert_uint_eq(log_lost(), 3);
}
END_TEST

/* ---- Crashes ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = true }; /* reports faults itself, after us, and waits for its reader */
#else
enum { SANITIZED = false };
#endif

static volatile char *nowhere; /* a page that nobody may touch */

static void fault(void)
{
	*nowhere = 1;
}

static void *fault_in_a_thread(void *arg)
{
	fault();
	return arg;
}

static void fault_elsewhere(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, fault_in_a_thread, NULL);
	pthread_join(thread, NULL);
}

static int deeper(volatile int depth) /* NOLINT(misc-no-recursion) */
{
	volatile char room[512];

	room[0] = (char)depth;
	return depth ? deeper(depth + 1) + room[0] : 0;
}

static void overflow(void)
{
	deeper(1);
}

static void assertion(void)
{
	base_assert(!nowhere);
}

static void interrupt(void)
{
	raise(SIGFPE);
}

static const struct {
	void (*crash)(void);
	int signal;
	const char *line; /* how it begins */
} crashes[] = {
	{ abort, SIGABRT, "level=error msg=\"weftd crashes\" signal=ABRT thread=" },
	{ assertion, SIGABRT, "level=error msg=\"assertion failed\" condition=!nowhere file=" },
	{ fault, SIGSEGV, "level=error msg=\"weftd crashes\" signal=SEGV thread=" },
	{ fault_elsewhere, SIGSEGV, "level=error msg=\"weftd crashes\" signal=SEGV thread=" },
	{ overflow, SIGSEGV, "level=error msg=\"weftd crashes\" signal=SEGV thread=" },
	{ interrupt, SIGFPE, "level=error msg=\"weftd crashes\" signal=FPE thread=" },
};

enum { STACK_SIZE = 8 * 1024 * 1024 }; /* of a child's main thread */
enum { CRASHES = sizeof(crashes) / sizeof(crashes[0]), SILENT_CRASHES = SANITIZED ? 2 : CRASHES };

/* As a parent may leave them to us. */
static void block_all_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
}

/* Starts a child that logs LINES lines and then crashes. */
static pid_t start_crash(int i, unsigned lines)
{
	pid_t child = fork();

	ck_assert_int_ge(child, 0);

	if (child == 0) {
		struct err err;

		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
		/* The caller's may have no limit, and then an overflow takes all memory. */
		setrlimit(RLIMIT_STACK, &(struct rlimit){ STACK_SIZE, STACK_SIZE });
		block_all_signals();
		nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (log_start(&err) < 0)
			_exit(2);
		for (unsigned n = 0; n < lines; n++)
			log_numbered(n);
		crashes[i].crash();
		_exit(3);
	}
	return child;
}

static void expect_crash(int i, pid_t child)
{
	int status;

	ck_assert_int_eq(waitpid(child, &status, 0), child);
	if (SANITIZED && WIFEXITED(status))
		return;
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), crashes[i].signal);
}

START_TEST(a_crash_writes_its_line_behind_those_of_the_queue)
{
	const char *line;
	pid_t child = start_crash(_i, 3);

	dup2(stderr_before, STDERR_FILENO); /* so that the pipe has an end */
	for (unsigned n = 0; n < 3; n++)
		expect_numbered(n);
	line = read_line();
	ck_assert_msg(strncmp(line, crashes[_i].line, strlen(crashes[_i].line)) == 0, "%s", line);
	line = read_line();
	ck_assert_msg(strncmp(line, "level=", 6) != 0, "%s", line);
	read_to_end(); /* a sanitizer's report of an overflow can be larger than the pipe */
	expect_crash(_i, child);
}
END_TEST

START_TEST(a_crash_waits_for_no_reader)
{
	expect_crash(_i, start_crash(_i, 3000));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log_queue");
	TCase *cases = tcase_create("log_queue");
	TCase *ends = tcase_create("crashes");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_set_timeout(cases, 60);
	tcase_add_test(cases, nobody_waits_for_a_reader_and_lost_lines_are_counted);
	tcase_add_test(cases, after_a_loss_the_count_comes_before_all_later_lines);
	tcase_add_test(cases, lines_are_in_the_order_of_the_calls_whatever_the_thread);
	tcase_add_test(cases, at_the_end_all_is_written_for_a_reader_that_reads);
	tcase_add_test(cases, the_end_waits_for_no_reader_that_stands_still);
	tcase_add_test(cases, a_stderr_that_somebody_else_made_non_blocking_loses_nothing);
	tcase_add_test(cases, lines_that_the_reader_refuses_are_counted_when_it_takes_the_next);
	suite_add_tcase(suite, cases);

	tcase_add_checked_fixture(ends, setup, teardown);
	tcase_set_timeout(ends, 60);
	tcase_add_loop_test(ends, a_crash_writes_its_line_behind_those_of_the_queue, 0, CRASHES);
	tcase_add_loop_test(ends, a_crash_waits_for_no_reader, 0, SILENT_CRASHES);
	suite_add_tcase(suite, ends);
	return run_suite(suite);
}
