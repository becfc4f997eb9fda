/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sd_notify(3) makes a socket for each message, and then waits for the manager: without a free descriptor the watchdog would
 * starve, and behind a slow manager main would stand still. So the datagrams are sent from here, by a socket that is kept.
 * Readiness and the like wait for the manager, as each is sent once.
 */
#include "daemon/notify.h"

#include "base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int notify_fd = -1;

void daemon_notify_open(void)
{
	if (notify_fd < 0 && getenv("NOTIFY_SOCKET"))
		notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

void daemon_notify_close(void)
{
	if (notify_fd >= 0)
		close(notify_fd);
	notify_fd = -1;
}

/* A path, or with '@' in front an abstract name. Returns the address's length; 0: another kind. */
static socklen_t daemon_notify_address(struct sockaddr_un *address)
{
	const char *name = getenv("NOTIFY_SOCKET");
	size_t length = name ? strlen(name) : 0;

	if (length < 2 || length >= sizeof(address->sun_path) || (name[0] != '/' && name[0] != '@'))
		return 0;
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(address->sun_path, name, length);
	if (name[0] == '@')
		address->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

/* Whether it is sent, or never can be: there is nothing to do about a manager that has gone. */
static bool daemon_notify_send(const char *state, int flags)
{
	struct sockaddr_un address;
	socklen_t length = daemon_notify_address(&address);
	ssize_t sent;

	if (notify_fd < 0 || !length)
		return true;
	do
		sent =
		    sendto(notify_fd, state, strlen(state), flags | MSG_NOSIGNAL, (struct sockaddr *)&address, length);
	while (sent < 0 && errno == EINTR);
	return sent >= 0 || (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM);
}

uint64_t daemon_notify_watchdog_ms(void)
{
	const char *limit_us = getenv("WATCHDOG_USEC");
	const char *whose = getenv("WATCHDOG_PID");

	if (!limit_us || (whose && strtoimax(whose, NULL, 10) != getpid()))
		return 0;
	return strtoumax(limit_us, NULL, 10) / 1000;
}

bool daemon_notify_watchdog(void)
{
	return daemon_notify_send("WATCHDOG=1", MSG_DONTWAIT);
}

void daemon_notify_ready(void)
{
	daemon_notify_send("READY=1", 0);
}

void daemon_notify_reloading(void)
{
	daemon_notify_send("RELOADING=1", 0);
}

void daemon_notify_status(const char *text)
{
	char state[1024];
	size_t length;

	snprintf(state, sizeof(state), "STATUS=%s", text);
	/* Another line would be another message. */
	state[strcspn(state, "\r\n")] = '\0';
	/* The service manager takes no text that is not UTF-8 (a value of the file may be anything, and a long text is cut). */
	for (char *at = state; *at; at += length ? length : 1) {
		length = utf8_decode(at, NULL);
		if (!length)
			*at = '?';
	}
	daemon_notify_send(state, 0);
}

void daemon_notify_stopping(void)
{
	daemon_notify_send("STOPPING=1", 0);
}

void daemon_notify_takes(uint64_t ms)
{
	char state[64];

	snprintf(state, sizeof(state), "EXTEND_TIMEOUT_USEC=%" PRIu64, ms * 1000);
	daemon_notify_send(state, 0);
}
