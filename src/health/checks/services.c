/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ways of guests to services of the host and to its proxies. Their packets come in by a sandbox's link as new connections to the
 * host, which the filters of other programs are made to drop; then whoever asks hears nothing, and the service neither.
 */
#include "base/cleanup.h"
#include "config/config.h"
#include "health/doctor.h"
#include "health/filter.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { SOME_PORT = 40000, NAME_SIZE = CONFIG_SERVICE_TEXT_SIZE + 32 };

/* Where the connections of guests for one entry of the configuration arrive. */
struct service_way {
	char name[NAME_SIZE]; /* "[egress] redirect 80:5016" */
	uint32_t ip;
	uint16_t port;
	bool redirected;
};

/* The command that lets packets for PORT pass the filter of ANSWER's chain. */
static void check_services_let_in(const struct config *config, const struct ruleset_chain *chain, uint16_t port,
				  struct health_finding *finding)
{
	const char *prefix = config->layout.veth_prefix;
	bool iptables = chain->legacy || (strcmp(chain->family, "ip") == 0 && strcmp(chain->table, "filter") == 0);

	if (strcmp(chain->table, "firewalld") == 0)
		health_fix(finding,
			   "firewall-cmd --permanent --zone=trusted --add-interface=%s+ && firewall-cmd --reload",
			   prefix);
	else if (iptables)
		health_fix(finding, "%s -I INPUT -i %s+ -p tcp --dport %u -j ACCEPT",
			   chain->legacy ? "iptables-legacy" : "iptables", prefix, port);
	else
		health_fix(finding, "nft insert rule %s %s %s iifname \"%s*\" tcp dport %u accept", chain->family,
			   chain->table, chain->name, prefix, port);
}

/* Whether no filter of another program is in WAY. A packet of a trial is not redirected, so there is none. */
static bool check_services_filter(const struct health_facts *facts, const struct service_way *way,
				  struct health_report *report)
{
	const struct config_layout *layout = &facts->config->layout;
	char veth[CONFIG_LINK_SIZE], where[HEALTH_FILTER_TEXT_SIZE];
	const struct ruleset_packet packet = { .iif = config_veth_name(layout, 1, veth),
					       .oif = "",
					       .iif_group = layout->link_group,
					       .source = config_host_ip(layout, 1),
					       .source_port = SOME_PORT,
					       .destination = way->ip,
					       .port = way->port,
					       .redirected = way->redirected,
					       .local_destination = true };
	struct ruleset_answer answer = inspect_ruleset_ask(&facts->ruleset, HOOK_INPUT, VERDICT_DROP, &packet);
	bool sure = answer.certainty == RULESET_SURELY;

	if (answer.certainty == RULESET_NO)
		return true;
	struct health_finding *finding =
	    health_add(report, "services", sure ? HEALTH_FAIL : HEALTH_WARN,
		       "guests' packets to port %u, for %.200s, are %sdropped in %s", way->port, way->name,
		       sure ? "" : "perhaps ", health_filter_name(&answer, where));
	health_why(finding, "a drop in another table is final, although weft accepts in its own: guests wait in vain%s",
		   sure ? "" : "; whether it happens depends on conditions that are not visible from here");
	check_services_let_in(facts->config, answer.chain, way->port, finding);
	return false;
}

/* Whether a program listens on TARGET or, where TARGET is a wildcard, at any address but loopback, to which no redirection leads. */
static bool check_services_is_heard(const struct health_facts *facts, const struct addr *target)
{
	for (size_t i = 0; i < facts->sockets.count; i++) {
		const struct health_socket *socket = &facts->sockets.items[i];
		bool at = addr_is_wildcard(target)
			      ? !addr_is_loopback(&socket->local)
			      : addr_is_wildcard(&socket->local) || addr_same_host(&socket->local, target);
		if (socket->listening && addr_port(&socket->local) == addr_port(target) && at)
			return true;
	}
	/* Those of other hosts are not visible, nor any without /proc. */
	AUTO_FREE char *table = facts->read_text(facts->context, "/proc/net/tcp");
	return !table || (!addr_is_wildcard(target) && !addr_is_loopback(target));
}

static bool check_services_listener(const struct health_facts *facts, const struct addr *target, const char *name,
				    struct health_report *report)
{
	char text[ADDR_TEXT_SIZE];

	if (check_services_is_heard(facts, target))
		return true;
	struct health_finding *finding = health_add(report, "services", HEALTH_WARN, "nobody listens on %s, for %s",
						    addr_format(target, text), name);
	health_why(finding, "guests that ask there are refused");
	health_fix(finding, "start the program that serves there, or take the entry out of the configuration%s",
		   addr_is_wildcard(target) ? "; on a loopback address no guest reaches it" : "");
	return false;
}

/* An access list of the file, or another unit than weft's, may give the right all the same. */
static void check_services_unwritable(const struct config_service *service, const char *name,
				      struct health_report *report)
{
	struct health_finding *finding = health_add(
	    report, "services", HEALTH_WARN, "weftd may have no right to connect to %s, for %s", service->path, name);

	health_why(finding,
		   "that takes the right to write to the socket, and weftd's unit has no CAP_DAC_OVERRIDE: guests "
		   "that ask there are reset (proxy-refused, Permission denied)");
	health_fix(finding, "let the program that makes the socket give it to root or its group, or the mode 0666 "
			    "(SocketMode=0666 in a socket unit)");
}

/* Whether a socket of UDP has PORT, at any address, and waits for anybody. */
static bool check_services_takes_datagrams(const struct health_facts *facts, uint16_t port)
{
	static const char *const tables[] = { "/proc/net/udp", "/proc/net/udp6" };
	char bound[16];

	snprintf(bound, sizeof(bound), ":%04X 0000", port);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		AUTO_FREE char *table = facts->read_text(facts->context, tables[i]);
		if (table && strstr(table, bound))
			return true;
	}
	return false;
}

/* The same for what the kernel leads to PORT, which is TCP and UDP. */
static bool check_services_port(const struct health_facts *facts, uint16_t port, const char *name,
				struct health_report *report)
{
	const struct addr anywhere = addr_from_ipv4(INADDR_ANY, port);

	return check_services_takes_datagrams(facts, port) || check_services_listener(facts, &anywhere, name, report);
}

static bool check_services_unix(const struct health_facts *facts, const struct config_service *service,
				const char *name, struct health_report *report)
{
	int error = facts->socket_at ? facts->socket_at(facts->context, service->path) : 0;

	if (!error)
		return true;
	if (error == EACCES) {
		check_services_unwritable(service, name, report);
		return false;
	}
	struct health_finding *finding = health_add(report, "services", HEALTH_FAIL, "%s of %s: %s", service->path,
						    name, error == ENOTSOCK ? "it is no socket" : strerror(error));
	health_why(finding, "guests that ask there are reset");
	health_fix(finding, "start the program that makes the socket, or correct the path");
	return false;
}

static bool check_services_is_local(const struct health_facts *facts, const struct addr *address)
{
	for (size_t i = 0; i < facts->host.address_count; i++)
		if (facts->host.addresses[i].cidr.ip == ntohl(address->in.sin_addr.s_addr))
			return true;
	return false;
}

static bool check_services_one(const struct health_facts *facts, const struct config_service *service,
			       struct health_report *report)
{
	const struct config *config = facts->config;
	struct service_way way = { .ip = config_veth_host_ip(&config->layout, 1), .redirected = true };
	char entry[CONFIG_SERVICE_TEXT_SIZE];
	bool clear = true;

	snprintf(way.name, sizeof(way.name), "[egress] allow_host %s", config_service_format(service, entry));
	switch (service->kind) {
	case CONFIG_SERVICE_SAME:
		way.port = addr_port(&service->address);
		if (check_services_is_local(facts, &service->address)) {
			way.ip = ntohl(service->address.in.sin_addr.s_addr);
			way.redirected = false;
		} else {
			clear = check_services_port(facts, way.port, way.name, report);
		}
		break;
	case CONFIG_SERVICE_PORT:
		way.port = service->port;
		clear = check_services_port(facts, way.port, way.name, report);
		break;
	case CONFIG_SERVICE_ADDRESS:
		way.port = config->egress.service_port;
		clear = check_services_listener(facts, &service->target, way.name, report);
		break;
	case CONFIG_SERVICE_UNIX:
		way.port = config->egress.service_port;
		clear = check_services_unix(facts, service, way.name, report);
		break;
	}
	return check_services_filter(facts, &way, report) && clear;
}

static bool check_services_proxy(const struct health_facts *facts, const struct config_redirect *redirect,
				 struct health_report *report)
{
	struct service_way way = { .ip = config_veth_host_ip(&facts->config->layout, 1),
				   .port = redirect->to,
				   .redirected = true };
	const struct addr anywhere = addr_from_ipv4(INADDR_ANY, redirect->to);
	char entry[CONFIG_REDIRECT_TEXT_SIZE];

	snprintf(way.name, sizeof(way.name), "[egress] redirect %s", config_redirect_format(redirect, entry));
	bool heard = check_services_listener(facts, &anywhere, way.name, report);
	return check_services_filter(facts, &way, report) && heard;
}

void check_services(const struct health_facts *facts, struct health_report *report)
{
	const struct config_service_list *services = &facts->config->egress.allow_host;
	const struct config_redirect_list *redirects = &facts->config->egress.redirect;
	bool clear = true;

	if (!services->count && !redirects->count) {
		health_add(report, "services", HEALTH_OK, "no service of the host and no proxy is set");
		return;
	}
	for (size_t i = 0; i < services->count; i++)
		clear = check_services_one(facts, &services->items[i], report) && clear;
	for (size_t i = 0; i < redirects->count; i++)
		clear = check_services_proxy(facts, &redirects->items[i], report) && clear;
	if (clear && facts->ruleset_error[0])
		health_fix(health_add(report, "services", HEALTH_SKIPPED,
				      "whether a firewall shuts services of the host or proxies is not visible from "
				      "here: %s",
				      facts->ruleset_error),
			   "run weftctl doctor as root");
	else if (clear)
		health_add(report, "services", HEALTH_OK,
			   "the ways of guests to services of the host (%zu) and proxies (%zu) are clear",
			   services->count, redirects->count);
}
