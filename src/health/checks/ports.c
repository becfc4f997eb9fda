/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ports of weftd that another program has: those of the default endpoint and of [http] listen, without which it runs until they
 * are free, those of live sandboxes, and those of the automatic range, which it skips for new ones.
 */
#include "config/config.h"
#include "health/doctor.h"

#include <errno.h>
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

/* Names the process of a socket that is bound and does not listen, if it is visible; else TEXT stays. */
static void check_ports_name_bound(const struct health_facts *facts, const struct addr *wanted,
				   char text[static HOLDER_TEXT_SIZE])
{
	struct health_socket socket = { 0 };
	char name[32];
	int pid = facts->bound(facts->context, wanted, name, &socket.uid);

	if (pid)
		check_ports_name_holder(&socket, pid, name, text);
}

/* HOLDER is NULL if /proc shows no socket that could be it. */
static void check_ports_report(const struct health_facts *facts, const struct health_socket *holder,
			       const struct listen_option *option, const struct addr *wanted,
			       struct health_report *report)
{
	char text[ADDR_TEXT_SIZE], holder_text[HOLDER_TEXT_SIZE] = "a process that is not visible from here", name[32];
	const char *how = !holder ? "held" : holder->listening ? "listened on" : "the local end of a connection";

	if (!holder)
		check_ports_name_bound(facts, wanted, holder_text);
	else
		check_ports_name_holder(holder, facts->holder(facts->context, holder->inode, name), name, holder_text);
	struct health_finding *finding = health_add(report, "ports", HEALTH_FAIL, "%s of %s is taken: %s by %s",
						    addr_format(wanted, text), option->subject, how, holder_text);
	health_why(finding,
		   "weftd runs without that address until it is free, and its clients reach the other program");
	if (!holder || holder->listening)
		health_fix(finding, "stop that process, or choose another %s", option->name);
	else
		health_fix(finding,
			   "sysctl -w net.ipv4.ip_local_reserved_ports=%u; weftd has the address when that connection "
			   "has ended",
			   addr_port(wanted));
}

/* Whether SOCKET, which is in the way of WANTED, is so for certain: /proc does not tell whether [::] holds IPv4 too. */
static bool check_ports_is_certain(const struct health_socket *socket, const struct addr *wanted)
{
	return socket->local.any.sa_family == wanted->any.sa_family || !addr_is_wildcard(&socket->local);
}

/* The sockets of /proc that may hold an address. */
struct claimants {
	const struct health_socket *other; /* the likeliest of another program; NULL: none */
	int likelihood;                    /* of OTHER */
	bool weftd;                        /* a listener of weftd's */
	bool ended;                        /* a connection that has ended */
};

static void check_ports_add_claimant(const struct health_facts *facts, const struct health_socket *socket,
				     const struct addr *wanted, int daemon, struct claimants *claimants)
{
	char name[32];
	int pid = facts->holder(facts->context, socket->inode, name);
	bool certain = check_ports_is_certain(socket, wanted);
	int likelihood = 1 + certain + 2 * socket->listening;

	if (!socket->listening && !socket->inode) {
		claimants->ended = true;
		return;
	}
	if (check_ports_is_ours(socket, pid, name, daemon)) {
		/* Those of IPv6 that are weftd's never hold IPv4. */
		claimants->weftd |= socket->listening && certain;
		return;
	}
	if (likelihood > claimants->likelihood) {
		claimants->other = socket;
		claimants->likelihood = likelihood;
	}
}

/* Whether weftd itself listens on WANTED. */
static bool check_ports_is_served(const struct health_facts *facts, const struct addr *wanted, int daemon)
{
	char name[32];

	for (size_t i = 0; i < facts->sockets.count; i++) {
		const struct health_socket *socket = &facts->sockets.items[i];
		if (socket->listening && addr_equal(&socket->local, wanted) &&
		    check_ports_is_ours(socket, facts->holder(facts->context, socket->inode, name), name, daemon))
			return true;
	}
	return false;
}

/*
 * Whether nobody else has the address WANTED of OPTION. A trial decides: /proc shows no socket that is bound and does not listen,
 * and not whether one of IPv6 holds IPv4 too. It names the holder, and decides where the trial failed for another reason, such as
 * a port that takes privileges.
 */
static bool check_ports_own(const struct health_facts *facts, const struct addr *wanted,
			    const struct listen_option *option, int daemon, struct health_report *report)
{
	struct claimants claimants = { 0 };

	if (check_ports_is_served(facts, wanted, daemon))
		return true;
	int error = facts->try_bind(facts->context, wanted);
	if (!error)
		return true;
	for (size_t i = 0; i < facts->sockets.count; i++) {
		const struct health_socket *socket = &facts->sockets.items[i];
		if (addr_is_in_the_way(&socket->local, wanted) &&
		    (error == EADDRINUSE || (socket->listening && check_ports_is_certain(socket, wanted))))
			check_ports_add_claimant(facts, socket, wanted, daemon, &claimants);
	}
	if (!claimants.other) {
		/* A connection that has ended stands in nobody's way for long. */
		if (error != EADDRINUSE || claimants.weftd || claimants.ended)
			return true;
	}
	check_ports_report(facts, claimants.other, option, wanted, report);
	return false;
}

/* The sandbox's port that SOCKET keeps weftd from; NULL: none. */
static const struct health_not_open *check_ports_find_not_open(const struct health_facts *facts,
							       const struct health_socket *socket)
{
	for (size_t i = 0; i < facts->said.not_open.count; i++) {
		const struct health_not_open *port = &facts->said.not_open.items[i];
		if (!port->udp && addr_is_in_the_way(&socket->local, &port->address))
			return port;
	}
	return NULL;
}

/* Whether each published port of a sandbox is open, as the daemon says. */
static bool check_ports_sandboxes(const struct health_facts *facts, struct health_report *report)
{
	char text[ADDR_TEXT_SIZE];

	for (size_t i = 0; i < facts->said.not_open.count; i++) {
		const struct health_not_open *port = &facts->said.not_open.items[i];
		struct health_finding *finding =
		    health_add(report, "ports", HEALTH_FAIL, "%s/%s of sandbox %s is not open: %s%s",
			       addr_format(&port->address, text), port->udp ? "udp" : "tcp", port->sandbox,
			       port->holder[0] ? "it is in use by " : "weftd cannot have it", port->holder);
		health_why(finding, "the sandbox is not reached there, and its clients may reach the other program");
		health_fix(finding, "stop that program, or publish another address: weftctl diagnose %s",
			   port->sandbox);
	}
	return !facts->said.not_open.count;
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
		if (check_ports_is_ours(socket, pid, name, daemon) || check_ports_find_not_open(facts, socket))
			continue;
		if (!taken++)
			snprintf(first, sizeof(first), "%s by %s", addr_format(&socket->local, text),
				 check_ports_name_holder(socket, pid, name, holder));
	}
	if (!taken)
		return true;
	struct health_finding *finding =
	    health_add(report, "ports", HEALTH_WARN, "%u address%s of [ports] range %u-%u %s taken by others: %s%s",
		       taken, taken == 1 ? "" : "es", config->ports.first, config->ports.last,
		       taken == 1 ? "is" : "are", first, taken > 1 ? ", ..." : "");
	health_why(finding, "weftd gives no new sandbox such an address; but without a service manager that keeps its "
			    "sockets, a program that starts "
			    "there while weftd is down takes a sandbox's port");
	health_fix(finding, "move that program, or choose another [ports] range");
	return false;
}

void check_ports(const struct health_facts *facts, struct health_report *report)
{
	static const struct listen_option default_listen = { "[forwarder] default_listen", "the default endpoint" };
	static const struct listen_option http_listen = { "[http] listen", "[http] listen" };
	static const struct listen_option service_port = { "[egress] service_port", "services of the host" };
	const struct addr services = addr_from_ipv4(INADDR_ANY, facts->config->egress.service_port);
	const struct addr_list *wanted = &facts->config->forwarder.default_listen, *http = &facts->config->http.listen;
	int daemon = health_daemon(facts);
	bool clear = true;

	for (size_t i = 0; i < wanted->count; i++)
		clear = check_ports_own(facts, &wanted->items[i], &default_listen, daemon, report) && clear;
	for (size_t i = 0; i < http->count; i++)
		clear = check_ports_own(facts, &http->items[i], &http_listen, daemon, report) && clear;
	if (config_has_forwarded_service(facts->config))
		clear = check_ports_own(facts, &services, &service_port, daemon, report) && clear;
	clear = check_ports_sandboxes(facts, report) && clear;
	clear = check_ports_range(facts, daemon, report) && clear;
	if (clear)
		health_add(report, "ports", HEALTH_OK, "nobody else has the default endpoint's port, or one of %u-%u",
			   facts->config->ports.first, facts->config->ports.last);
}
