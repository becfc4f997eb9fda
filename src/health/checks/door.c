/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The front door, from the outside inwards: HAProxy, who has its ports, weftd's socket behind it, and the answer that comes through both.
 * A host without a door lacks nothing.
 */
#include "config/config.h"
#include "health/doctor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { OLDEST_MAJOR = 2, OLDEST_MINOR = 6 };

/* ---- HAProxy ---- */

static void check_door_stopped(const struct health_door *door, struct health_report *report)
{
	struct health_finding *finding =
	    health_add(report, "haproxy", HEALTH_FAIL, "%s",
		       door->installed ? HEALTH_DOOR_UNIT " does not run" : "no HAProxy of the door's runs");

	health_why(finding, "no client comes to a sandbox through the door");
	health_fix(finding, "%s",
		   door->installed ? "systemctl start weft-door; if it ends again: journalctl -u weft-door"
				   : "apt install weft-door");
}

static void check_door_haproxy(const struct health_door *door, struct health_report *report)
{
	const struct health_door_proxy *proxy = &door->proxy;
	unsigned major = OLDEST_MAJOR, minor = OLDEST_MINOR;
	const char *version = proxy->version;

	if (!proxy->pid) {
		check_door_stopped(door, report);
		return;
	}
	if (version[0])
		sscanf(version, "%u.%u", &major, &minor);
	if (major < OLDEST_MAJOR || (major == OLDEST_MAJOR && minor < OLDEST_MINOR)) {
		struct health_finding *finding = health_add(report, "haproxy", HEALTH_FAIL, "version %s", version);
		health_why(finding, "before 2.6 it cannot tell weftd which sandbox a client wants");
		health_fix(finding, "install HAProxy 2.6 or newer");
		return;
	}
	health_add(report, "haproxy", HEALTH_OK, "%s%sprocess %d%s", version, version[0] ? ", " : "", proxy->pid,
		   proxy->of_unit ? ", " HEALTH_DOOR_UNIT : "");
	if (proxy->files[0])
		health_add(report, "files", HEALTH_OK, "%s", proxy->files);
}

/* ---- Ports ---- */

/* Another program has the port of HOLDER. With a HAProxy that runs, it was told to listen elsewhere. */
static void check_door_taken(const struct health_door_holder *holder, bool runs, struct health_report *report)
{
	char text[ADDR_TEXT_SIZE], name[112];
	struct health_finding *finding =
	    health_add(report, "ports", runs ? HEALTH_WARN : HEALTH_FAIL, "%s is taken: listened on by %s",
		       addr_format(&holder->at, text), health_door_name_holder(holder, name));

	health_why(finding, "%sclients that ask localhost:%d, such as E2B's SDKs in local mode, reach that program",
		   runs ? "" : "HAProxy does not start without this address, and ", HEALTH_DOOR_PORT);
	health_fix(finding, "stop that program or give it another port, or change WEFT_DOOR_LISTEN in "
			    "/etc/weft/door.env; then: systemctl restart weft-door");
}

/* "127.0.0.1:3002, [::1]:3002; 5007 is not the door's: process 812 (orchestrator) of uid 0 has it" */
static void check_door_list(const struct health_door *door, struct health_report *report)
{
	char text[HEALTH_DOOR_LISTENS_MAX * (ADDR_TEXT_SIZE + 2)] = "", address[ADDR_TEXT_SIZE];
	char node[160] = "", name[112];

	if (door->node.listens && !door->node.ours)
		snprintf(node, sizeof(node), "; %d is not the door's: %s has it", HEALTH_DOOR_NODE_PORT,
			 health_door_name_holder(&door->node, name));
	for (size_t i = 0; i < door->listen_count; i++) {
		size_t used = strlen(text);
		snprintf(text + used, sizeof(text) - used, "%s%s", used ? ", " : "",
			 addr_format(&door->listens[i], address));
	}
	health_add(report, "ports", HEALTH_OK, "%s%s", text[0] ? text : "127.0.0.1:3002", node);
}

static void check_door_ports(const struct health_door *door, struct health_report *report)
{
	bool runs = door->proxy.pid != 0;

	if (door->local.listens && !door->local.ours) {
		check_door_taken(&door->local, runs, report);
	} else if (door->local6.listens && !door->local6.ours) {
		check_door_taken(&door->local6, runs, report);
	} else if (runs && !door->local.listens) {
		struct health_finding *finding =
		    health_add(report, "ports", HEALTH_WARN, "HAProxy runs, and does not listen on 127.0.0.1:3002");
		health_why(finding, "clients of this host, such as E2B's SDKs in local mode, come there");
		health_fix(finding, "add it to WEFT_DOOR_LISTEN in /etc/weft/door.env; then: systemctl restart "
				    "weft-door");
	} else if (runs) {
		check_door_list(door, report);
	}
}

/* ---- The socket ---- */

static void check_door_socket_failed(const struct health_facts *facts, struct health_report *report)
{
	const struct health_door_socket *socket = &facts->door.socket;
	bool runs = health_daemon(facts) != 0;

	if (socket->error == EACCES) {
		health_fix(health_add(report, "socket", HEALTH_SKIPPED, "%s is not visible from here", socket->path),
			   "run it as root");
		return;
	}
	struct health_finding *finding =
	    health_add(report, "socket", HEALTH_FAIL, "%s: %s", socket->path,
		       socket->error ? strerror(socket->error) : "it is another program's file, and no socket");
	health_why(finding, "HAProxy finds no weftd, and answers each client with 503");
	if (!socket->error)
		health_fix(finding, "move that file away, then: systemctl restart weftd");
	else
		health_fix(finding, "%s",
			   runs ? "weftctl status tells why weftd does not listen there; then: systemctl restart weftd"
				: "systemctl start weftd");
}

/* Whether HAProxy's workers may connect. Without [door] group they are meant to be root's. */
static bool check_door_rights(const struct health_door *door, struct health_report *report)
{
	const struct health_door_socket *socket = &door->socket;
	unsigned mode = socket->mode & 0777;
	bool writable = (mode & S_IWOTH) || ((mode & S_IWGRP) && socket->group == door->group);
	struct health_finding *finding;

	if (!door->group_name[0] || (!door->group_error && writable))
		return true;
	if (door->group_error == ENOENT) {
		finding = health_add(report, "socket", HEALTH_FAIL, "the group %s of [door] group does not exist",
				     door->group_name);
		health_fix(finding, "apt install haproxy, or name another [door] group; then: systemctl reload weftd");
	} else if (!door->group_error) {
		finding = health_add(report, "socket", HEALTH_FAIL, "%s is %04o %s, and not 0660 root:%s", socket->path,
				     mode, socket->owners, door->group_name);
		health_fix(finding, "systemctl restart weftd, which opens it anew");
	} else {
		return true;
	}
	health_why(finding, "HAProxy's workers, which are no root, may not connect to weftd");
	return false;
}

static void check_door_socket(const struct health_facts *facts, struct health_report *report)
{
	const struct health_door *door = &facts->door;
	const struct health_door_socket *socket = &door->socket;
	char said[HEALTH_DOOR_TEXT_SIZE];

	if (!socket->path[0]) {
		struct health_finding *finding =
		    health_add(report, "socket", HEALTH_FAIL, "[door] socket is empty: weftd has no door");
		health_why(finding, "HAProxy finds no weftd, and answers each client with 503");
		health_fix(finding, "[door] socket = /run/weft/door.sock, then: systemctl restart weftd");
		return;
	}
	if (socket->error || !S_ISSOCK(socket->mode)) {
		check_door_socket_failed(facts, report);
		return;
	}
	if (!check_door_rights(door, report))
		return;
	unsigned mode = socket->mode & 0777;
	if (health_door_is_weftd(&door->knock)) {
		health_add(report, "socket", HEALTH_OK, "%s, %04o %s, weftd answers", socket->path, mode,
			   socket->owners);
		return;
	}
	if (door->knock.result == HEALTH_DOOR_NOT_ASKED ||
	    (door->knock.result == HEALTH_DOOR_UNREACHED && door->knock.error == EACCES)) {
		health_fix(health_add(report, "socket", HEALTH_SKIPPED,
				      "%s, %04o %s: whether weftd answers is not visible from here", socket->path, mode,
				      socket->owners),
			   "run it as root");
		return;
	}
	struct health_finding *finding = health_add(report, "socket", HEALTH_FAIL, "%s does not answer as weftd: %s",
						    socket->path, health_door_describe(&door->knock, said));
	health_why(finding, "HAProxy gets no further either, and answers each client with 503");
	health_fix(finding, "%s",
		   health_daemon(facts) ? "journalctl -u weftd tells what weftd does; then: systemctl restart weftd"
					: "systemctl start weftd");
}

/* ---- The answer ---- */

void check_door_answer(const struct health_door_answer *answer, const char *where, struct health_report *report)
{
	char said[HEALTH_DOOR_TEXT_SIZE];

	if (answer->result == HEALTH_DOOR_NOT_ASKED)
		return;
	if (health_door_is_right(answer)) {
		health_add(report, "answer", HEALTH_OK, "%s: 502 for an unknown id, in %.1f ms", where,
			   (double)answer->took_us / 1000);
		return;
	}
	struct health_finding *finding = health_add(
	    report, "answer", HEALTH_FAIL, "%s, asked for a sandbox that does not exist, does not say so: %.250s",
	    where, health_door_describe(answer, said));
	if (answer->result == HEALTH_DOOR_UNREACHED) {
		health_why(finding, "no client gets in there");
		health_fix(
		    finding,
		    "systemctl status weft-door; and look whether /etc/weft/door.env has that address, for https "
		    "/etc/weft/door.d a link to door-tls.cfg, and a firewall lets it through");
	} else if (answer->result != HEALTH_DOOR_ANSWERED || answer->status == 503) {
		health_why(finding, "HAProxy, if it is one, does not reach weftd, or weftd does not answer it");
		health_fix(finding, "compare WEFT_DOOR_SOCKET in /etc/weft/door.env with [door] socket; the journal of "
				    "weft-door and weftctl door check, on that host, tell more");
	} else {
		health_why(finding, "its files are not weft's, and E2B's SDKs take such an answer for something else");
		health_fix(finding, "compare HAProxy's files with /usr/share/weft/door/haproxy.cfg, then: systemctl "
				    "reload weft-door");
	}
}

void check_door_parts(const struct health_facts *facts, struct health_report *report)
{
	check_door_haproxy(&facts->door, report);
	check_door_ports(&facts->door, report);
	check_door_socket(facts, report);
	check_door_answer(&facts->door.answer, "127.0.0.1:3002", report);
}

void check_door(const struct health_facts *facts, struct health_report *report)
{
	struct health_report parts = { 0 };
	bool clear = true;

	if (!health_door_is_used(&facts->door)) {
		health_add(report, "door", HEALTH_OK, "no front door is in use");
		return;
	}
	check_door_parts(facts, &parts);
	for (size_t i = 0; i < parts.count; i++) {
		const struct health_finding *part = &parts.findings[i];
		if (part->status == HEALTH_OK)
			continue;
		clear = false;
		struct health_finding *finding = health_add(report, "door", part->status, "%s", part->detail);
		health_why(finding, "%s", part->why);
		health_fix(finding, "%s", part->fix);
	}
	if (clear)
		health_add(report, "door", HEALTH_OK, "HAProxy, process %d, and weftd answer on 127.0.0.1:%u",
			   facts->door.proxy.pid, HEALTH_DOOR_PORT);
	report->incomplete |= parts.incomplete;
	health_report_clear(&parts);
}
