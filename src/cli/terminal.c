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
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static const int handled[] = { SIGINT, SIGTERM, SIGHUP, SIGWINCH };

static struct termios before;
static sigset_t mask_before;
static bool entered;
static volatile sig_atomic_t stop_asked;

static void cli_terminal_on_signal(int number)
{
	if (number != SIGWINCH)
		stop_asked = 1;
}

int cli_terminal_enter(struct err *err)
{
	struct termios raw;
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
	raw = before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
		return err_set(err, errno, "the terminal");
	entered = true;
	fputs("\033[?1049h\033[?25l", stdout);
	fflush(stdout);
	return 0;
}

void cli_terminal_leave(void)
{
	if (!entered)
		return;
	entered = false;
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
	sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

bool cli_terminal_wait(unsigned timeout_ms)
{
	struct pollfd keys = { .fd = STDIN_FILENO, .events = POLLIN };
	struct timespec timeout = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L };
	char key;

	int ready = ppoll(&keys, 1, &timeout, &mask_before);
	if (stop_asked)
		return false;
	if (ready <= 0)
		return true;
	/* The end of input means that the terminal is gone. */
	return read(STDIN_FILENO, &key, 1) == 1 && key != 'q' && key != 'Q';
}

size_t cli_terminal_lines(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_row : 0;
}
