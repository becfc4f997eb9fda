/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ports of weftd that another program has: those of the default endpoint and of [http] listen, without which it runs until they
 * are free, and those of the automatic range, which it skips.
 */
#include "config/config.h"
#include "health/doctor.h"

#include <stdio.h>
#include <string.h>

struct listen_option {
	const char *name, *subject;
};

/*
 * Whether SOCKET may be weftd's own. Without privileges no process is visible: then one of root's is taken for weftd's while it
 * runs.
 */
static bool check_ports_is_ours(const struct health_socket *socket, int pid, const char *name, int daemon)
{
	if (pid)
		return pid == daemon || strcmp(name, "weftd") == 0;
	return daemon && socket->uid == 0;
}

enum { HOLDER_TEXT_SIZE = 112 };

/* "process 812 (nginx) of uid 33" */
static const char *check_ports_name_holder(const struct health_socket *socket, int pid, const char *name,
					   char text[static HOLDER_TEXT_SIZE])
{
	if (pid)
		snprintf(text, HOLDER_TEXT_SIZE, "process %d (%s) of uid %u", pid, name, socket->uid);
	else
		snprintf(text, HOLDER_TEXT_SIZE, "a process of uid %u that is not visible from here", socket->uid);
	return text;
}

static void check_ports_report(const struct health_socket *socket, const char *holder,
			       const struct listen_option *option, const struct addr *wanted,
			       struct health_report *report)
{
	char text[ADDR_TEXT_SIZE];

	struct health_finding *finding =
	    health_add(report, "ports", HEALTH_FAIL, "%s of %s is taken: %s by %s", addr_format(wanted, text),
		       option->subject, socket->listening ? "listened on" : "the local end of a connection", holder);
	health_why(finding,
		   "weftd runs without that address until it is free, and its clients reach the other program");
	if (socket->listening)
		health_fix(finding, "stop that process, or choose another %s", option->name);
	else
		health_fix(finding,
			   "sysctl -w net.ipv4.ip_local_reserved_ports=%u; weftd has the address when that connection "
			   "has ended",
			   addr_port(wanted));
}

/* Whether nobody else has the address WANTED of OPTION. */
static bool check_ports_own(const struct health_facts *facts, const struct addr *wanted,
			    const struct listen_option *option, int daemon, struct health_report *report)
{
	char holder[HOLDER_TEXT_SIZE], name[32];

	for (size_t i = 0; i < facts->sockets.count; i++) {
		const struct health_socket *socket = &facts->sockets.items[i];

		if (!addr_is_in_the_way(&socket->local, wanted))
			continue;
		int pid = facts->holder(facts->context, socket->inode, name);
		/* Connections that have ended have no inode, and stand in nobody's way for long. */
		if (check_ports_is_ours(socket, pid, name, daemon) || (!socket->listening && !socket->inode))
			continue;
		/* Connections that weftd accepted have its local address, and may be invisible. */
		if (!socket->listening && !pid)
			continue;
		check_ports_report(socket, check_ports_name_holder(socket, pid, name, holder), option, wanted, report);
		return false;
	}
	return true;
}

static bool check_ports_range(const struct health_facts *facts, int daemon, struct health_report *report)
{
	const struct config *config = facts->config;
	char text[ADDR_TEXT_SIZE], holder[HOLDER_TEXT_SIZE], first[ADDR_TEXT_SIZE + HOLDER_TEXT_SIZE + 8] = "";
	unsigned taken = 0;

	for (size_t i = 0; i < facts->sockets.count; i++) {
		const struct health_socket *socket = &facts->sockets.items[i];
		char name[32];
		uint16_t port = addr_port(&socket->local);
		if (!socket->listening || port < config->ports.first || port > config->ports.last)
			continue;
		int pid = facts->holder(facts->context, socket->inode, name);
		if (check_ports_is_ours(socket, pid, name, daemon))
			continue;
		if (!taken++)
			snprintf(first, sizeof(first), "%s by %s", addr_format(&socket->local, text),
				 check_ports_name_holder(socket, pid, name, holder));
	}
	if (!taken)
		return true;
	struct health_finding *finding =
	    health_add(report, "ports", HEALTH_WARN, "%u addresses of [ports] range %u-%u are taken by others: %s%s",
		       taken, config->ports.first, config->ports.last, first, taken > 1 ? ", ..." : "");
	health_why(finding,
		   "weftd steps over them; but without a service manager that keeps its sockets, a program that starts "
		   "there while weftd is down takes a sandbox's port");
	health_fix(finding, "move that program, or choose another [ports] range");
	return false;
}

void check_ports(const struct health_facts *facts, struct health_report *report)
{
	static const struct listen_option default_listen = { "[forwarder] default_listen", "the default endpoint" };
	static const struct listen_option http_listen = { "[http] listen", "[http] listen" };
	const struct addr_list *wanted = &facts->config->forwarder.default_listen, *http = &facts->config->http.listen;
	int daemon = health_daemon(facts);
	bool clear = true;

	for (size_t i = 0; i < wanted->count; i++)
		clear = check_ports_own(facts, &wanted->items[i], &default_listen, daemon, report) && clear;
	for (size_t i = 0; i < http->count; i++)
		clear = check_ports_own(facts, &http->items[i], &http_listen, daemon, report) && clear;
	clear = check_ports_range(facts, daemon, report) && clear;
	if (clear)
		health_add(report, "ports", HEALTH_OK, "nobody else has the default endpoint's port, or one of %u-%u",
			   facts->config->ports.first, facts->config->ports.last);
}
