/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connects to a listener of its own on 127.0.0.1. The connection that the listener accepts has the client's own port if nobody
 * came between.
 */
#include "inspect/trial.h"

#include "base/cleanup.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A loopback answers within the call; the wait is for a machine that stands still. */
enum { CONNECTIONS = 8, WAIT_MS = 1000 };

static int inspect_trial_listen(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* Nothing of the connections that it accepts outlives them. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, CONNECTIONS) < 0)
		return -1;
	return steal_fd(&fd);
}

static bool inspect_trial_wait(int fd, short events)
{
	struct pollfd ready = { .fd = fd, .events = events };

	return poll(&ready, 1, WAIT_MS) > 0;
}

/* Whether the next connection of LISTENER is that of CLIENT. */
static bool inspect_trial_accepts(int listener, int client)
{
	struct sockaddr_in ours = { 0 }, theirs = { 0 };
	socklen_t length = sizeof(ours);

	if (getsockname(client, (struct sockaddr *)&ours, &length) < 0)
		return false;
	/* Others may knock at the port too. */
	while (inspect_trial_wait(listener, POLLIN)) {
		length = sizeof(theirs);
		AUTO_FD int fd = accept4(listener, (struct sockaddr *)&theirs, &length, SOCK_CLOEXEC);
		if (fd >= 0 && theirs.sin_port == ours.sin_port && theirs.sin_addr.s_addr == ours.sin_addr.s_addr)
			return true;
		if (fd < 0 && errno != EINTR && errno != EAGAIN && errno != ECONNABORTED)
			break;
	}
	return false;
}

/* Connects to PORT, where LISTENER is. TEXT: what came of it. */
static enum inspect_trial_result inspect_trial_connect(int listener, uint16_t port, char *text, size_t size)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int code = 0;
	socklen_t length = sizeof(code);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger)) < 0) {
		snprintf(text, size, "no socket: %s", strerror(errno));
		return TRIAL_NONE;
	}
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS)
		code = errno;
	else if (!inspect_trial_wait(fd, POLLOUT))
		code = ETIMEDOUT;
	else
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length);
	if (code) {
		snprintf(text, size, "tried: a connection to a listener on 127.0.0.1:%u failed: %s", port,
			 strerror(code));
		return TRIAL_CAUGHT;
	}
	if (!inspect_trial_accepts(listener, fd)) {
		snprintf(text, size, "tried: a connection to a listener on 127.0.0.1:%u was answered by somebody else",
			 port);
		return TRIAL_CAUGHT;
	}
	return TRIAL_PASSED;
}

/* The packet on loopback that a trial of HOOK would send. False: none does. */
static bool inspect_trial_loopback_packet(const struct inspect_trial *trial, struct ruleset_packet *packet)
{
	bool input = trial->hook == HOOK_INPUT;

	if (trial->packet->established || trial->packet->protocol || (!input && trial->hook != HOOK_OUTPUT))
		return false;
	*packet = (struct ruleset_packet){ .iif = input ? "lo" : "",
					   .oif = input ? "" : "lo",
					   .iif_index = input,
					   .oif_index = !input,
					   .source = INADDR_LOOPBACK,
					   .destination = INADDR_LOOPBACK,
					   .source_port = trial->packet->source_port,
					   .user = geteuid(),
					   .group = getegid(),
					   .local_destination = true };
	return true;
}

enum inspect_trial_result inspect_trial_loopback(const struct inspect_trial *trial, char *text, size_t size)
{
	struct ruleset_packet packet;
	unsigned passed = 0;
	uint16_t port = 0;

	snprintf(text, size, "no connection over loopback meets that rule");
	if (!inspect_trial_loopback_packet(trial, &packet))
		return TRIAL_NONE;
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		port = inspect_trial_port(trial, &packet, i);
		AUTO_FD int listener = port ? inspect_trial_listen(port) : -1;
		if (listener < 0)
			continue;
		enum inspect_trial_result result = inspect_trial_connect(listener, port, text, size);
		if (result != TRIAL_PASSED)
			return result;
		passed++;
	}
	if (!passed)
		return TRIAL_NONE;
	snprintf(text, size, "tried: %u connections over loopback arrived", passed);
	return TRIAL_PASSED;
}
