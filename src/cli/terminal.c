/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signals only set a flag. They are delivered during ppoll() alone, so that a signal just before the wait is not missed.
 */
#include "cli/terminal.h"

#include "base/err.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static const int handled[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH };

static struct termios before;
static sigset_t mask_before;
static bool entered;
static volatile sig_atomic_t stop_asked, pause_asked;
static char typed[32]; /* keys that were read and not yet taken */

static void cli_terminal_on_signal(int number)
{
	if (number == SIGTSTP)
		pause_asked = 1;
	else if (number != SIGWINCH)
		stop_asked = 1;
}

static int cli_terminal_take_screen(void)
{
	struct termios raw = before;

	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
		return -1;
	fputs("\033[?1049h\033[?25l", stdout);
	fflush(stdout);
	return 0;
}

static void cli_terminal_give_screen(void)
{
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

/* The shell gets its screen until it lets us go on. Without a shell that could, the kernel does not stop us. */
static void cli_terminal_pause(void)
{
	struct sigaction stop = { .sa_handler = SIG_DFL }, handler;
	sigset_t mask;

	pause_asked = 0;
	cli_terminal_give_screen();
	sigemptyset(&mask);
	sigaddset(&mask, SIGTSTP);
	sigaction(SIGTSTP, &stop, &handler);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &mask, NULL);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	sigaction(SIGTSTP, &handler, NULL);
	if (cli_terminal_take_screen() < 0)
		stop_asked = 1;
}

int cli_terminal_enter(struct err *err)
{
	struct sigaction action = { .sa_handler = cli_terminal_on_signal };
	sigset_t mask;

	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return err_set(err, errno, "the terminal");
	sigemptyset(&mask);
	for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++) {
		sigaddset(&mask, handled[i]);
		sigaction(handled[i], &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &mask, &mask_before);
	if (cli_terminal_take_screen() < 0)
		return err_set(err, errno, "the terminal");
	entered = true;
	return 0;
}

void cli_terminal_leave(void)
{
	if (!entered)
		return;
	entered = false;
	cli_terminal_give_screen();
	sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

/* Takes one key out of what was typed. */
static int cli_terminal_take_key(void)
{
	static const struct {
		const char *bytes;
		int key;
	} sequences[] = {
		{ "\033[A", KEY_UP },   { "\033OA", KEY_UP },       { "\033[B", KEY_DOWN },
		{ "\033OB", KEY_DOWN }, { "\033[5~", KEY_PAGE_UP }, { "\033[6~", KEY_PAGE_DOWN },
		{ "\033[H", KEY_HOME }, { "\033OH", KEY_HOME },     { "\033[1~", KEY_HOME },
		{ "\033[F", KEY_END },  { "\033OF", KEY_END },      { "\033[4~", KEY_END },
	};
	size_t length = 1;
	int key = (unsigned char)typed[0];

	for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++)
		if (strncmp(typed, sequences[i].bytes, strlen(sequences[i].bytes)) == 0) {
			key = sequences[i].key;
			length = strlen(sequences[i].bytes);
		}
	if (length == 1 && key == KEY_ESCAPE && typed[1]) {
		/* Of another key: not text that the user typed. */
		key = KEY_NONE;
		length = strlen(typed);
	}
	memmove(typed, typed + length, strlen(typed + length) + 1);
	return key;
}

int cli_terminal_wait(unsigned timeout_ms)
{
	struct pollfd keys = { .fd = STDIN_FILENO, .events = POLLIN };
	struct timespec timeout = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L };

	if (!typed[0]) {
		int ready = ppoll(&keys, 1, &timeout, &mask_before);
		if (pause_asked)
			cli_terminal_pause();
		if (stop_asked)
			return KEY_STOP;
		if (ready <= 0)
			return KEY_NONE;
		ssize_t length = read(STDIN_FILENO, typed, sizeof(typed) - 1);
		if (length <= 0)
			return KEY_STOP;
		typed[length] = '\0';
		if (!typed[0])
			return KEY_NONE;
	}
	return cli_terminal_take_key();
}

size_t cli_terminal_lines(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_row : 0;
}
