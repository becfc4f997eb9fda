/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host name other than localhost and sandbox.DOMAIN is taken for the domain, under which each sandbox has a name of its own: then DNS is
 * a part of the way, and is looked at. The answer and the certificate are two connections, so that nothing of the one gets into the other.
 */
#include "cli/door_client.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/sandbox_name.h"
#include "cli/child.h"
#include "health/doctor.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHILD_MS = 5000, HTTP_PORT = 80, HTTPS_PORT = 443, DAYS_LEFT_MIN = 14, CONNECT_SIZE = ADDR_TEXT_SIZE };

/* ---- The URL ---- */

/* Whether headers name the sandbox at HOST, as E2B has it. */
static bool cli_door_url_has_headers(const char *host)
{
	struct addr parsed;
	char text[300];
	uint32_t ip;

	snprintf(text, sizeof(text), "[%s]:1", host);
	return strcmp(host, "localhost") == 0 || strncmp(host, "sandbox.", 8) == 0 || addr_ipv4_parse(host, &ip) == 0 ||
	       addr_parse(text, &parsed) == 0;
}

/* Fills in what follows from the URL's parts. */
static void cli_door_url_complete(struct cli_door_url *url)
{
	bool ipv6 = strchr(url->host, ':') != NULL, usual = url->port == (url->tls ? HTTPS_PORT : HTTP_PORT);
	char port[16] = "";

	url->named = !cli_door_url_has_headers(url->host);
	snprintf(url->asked, sizeof(url->asked), "%s%s", url->named ? "80-" BASE_NAME_OF_CHECKS "." : "", url->host);
	if (!usual)
		snprintf(port, sizeof(port), ":%u", url->port);
	snprintf(url->field, sizeof(url->field), "%s%s%s%s", ipv6 ? "[" : "", url->asked, ipv6 ? "]" : "", port);
}

int cli_door_url_read(const char *text, struct cli_door_url *url, struct err *err)
{
	static const char plain[] = "http://", tls[] = "https://",
			  allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	const char *host = text, *port;
	size_t length;

	*url = (struct cli_door_url){ .tls = strncmp(text, tls, strlen(tls)) == 0 };
	url->port = url->tls ? HTTPS_PORT : HTTP_PORT;
	if (!url->tls && strncmp(text, plain, strlen(plain)) != 0)
		return err_set(err, 0, "URL '%s': it must begin with http:// or https://", text);
	host += url->tls ? strlen(tls) : strlen(plain);
	if (*host == '[') {
		length = strspn(++host, "0123456789abcdefABCDEF:.");
		port = host + length + (host[length] == ']');
		if (host[length] != ']')
			length = 0;
	} else {
		length = strspn(host, allowed);
		port = host + length;
	}
	if (!length || length >= sizeof(url->host))
		return err_set(err, 0, "URL '%s': it names no host", text);
	memcpy(url->host, host, length);
	size_t digits = *port == ':' ? strspn(port + 1, "0123456789") : 0;
	if (*port == ':' && addr_port_parse(port + 1, digits, &url->port) < 0)
		return err_set(err, 0, "URL '%s': its port is none", text);
	port += *port == ':' ? digits + 1 : 0;
	if (*port && strcmp(port, "/") != 0)
		return err_set(err, 0, "URL '%s': what follows the host is not asked for", text);
	cli_door_url_complete(url);
	return 0;
}

/* ---- The way there ---- */

/* 0 and the first address of NAME, or getaddrinfo()'s code. */
static int cli_door_client_resolve(const char *name, uint16_t port, struct addr *to)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;

	int code = getaddrinfo(name, NULL, &hints, &found);
	if (code)
		return code;
	memcpy(to, found->ai_addr, found->ai_addrlen < sizeof(*to) ? found->ai_addrlen : sizeof(*to));
	freeaddrinfo(found);
	addr_set_port(to, port);
	return 0;
}

/* The address to ask at, after a finding about DNS where that has a part in it. False: there is none. */
static bool cli_door_client_find(const struct cli_door_url *url, struct addr *to, struct health_report *report)
{
	int code = cli_door_client_resolve(url->asked, url->port, to);
	char text[ADDR_TEXT_SIZE];

	if (!code) {
		if (url->named)
			health_add(report, "dns", HEALTH_OK, "*.%s: %s", url->host, addr_format(to, text));
		return true;
	}
	struct health_finding *finding =
	    health_add(report, "dns", HEALTH_FAIL, "%s: %s", url->asked, gai_strerror(code));
	health_why(finding, "clients do not find the door by that name");
	if (url->named)
		health_fix(finding, "a record *.%s in DNS, with this host's address", url->host);
	else
		health_fix(finding, "a record %s in DNS, with this host's address", url->host);
	return url->named && cli_door_client_resolve(url->host, url->port, to) == 0;
}

/* ---- TLS ---- */

/* Runs openssl s_client. False after a finding: there is no openssl. */
static bool cli_door_client_run(const struct cli_door_url *url, const struct addr *to, bool quiet, const char *input,
				struct cli_child *child, struct health_report *report)
{
	char place[CONNECT_SIZE];
	const char *arguments[12] = { "openssl", "s_client", "-connect", addr_format(to, place) };
	size_t count = 4;
	uint32_t ip;
	struct err err;
	bool numeric = addr_ipv4_parse(url->asked, &ip) == 0 || strchr(url->asked, ':');

	arguments[count++] = numeric ? "-verify_ip" : "-verify_hostname";
	arguments[count++] = url->asked;
	if (numeric) {
		arguments[count++] = "-noservername";
	} else {
		arguments[count++] = "-servername";
		arguments[count++] = url->asked;
	}
	if (quiet)
		arguments[count++] = "-quiet";
	if (cli_child_run(arguments, input, CHILD_MS, child, &err) == 0)
		return true;
	health_fix(health_add(report, "tls", HEALTH_SKIPPED,
			      err.code == ENOENT ? "not looked at: the program openssl is missing here" : "%s",
			      err.text),
		   "%s", err.code == ENOENT ? "apt install openssl" : "");
	return false;
}

/* "Jan 30 16:13:10 2027 GMT". False: it is not that. */
static bool cli_door_client_read_time(const char *text, time_t *when)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm = { 0 };
	char month[4] = "";

	if (sscanf(text, "%3s %d %d:%d:%d %d", month, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &tm.tm_year) !=
	    6)
		return false;
	const char *found = strstr(months, month);
	if (!found || strlen(month) != 3)
		return false;
	tm.tm_mon = (int)(found - months) / 3;
	tm.tm_year -= 1900;
	*when = timegm(&tm);
	return true;
}

/* The names of the certificate, "*.box.example, box.example", from the words of openssl x509. */
static void cli_door_client_read_names(const char *words, char *names, size_t size)
{
	const char *at = strstr(words, "Subject Alternative Name");

	names[0] = '\0';
	at = at ? strchr(at, '\n') : NULL;
	size_t length = at ? strcspn(at + 1, "\n") : 0;
	AUTO_FREE char *line = at ? strndup(at + 1, length) : NULL;
	char *rest = line;
	for (char *name; rest && (name = strsep(&rest, ","));) {
		size_t used = strlen(names);
		name += strspn(name, " ");
		name += strncmp(name, "DNS:", 4) == 0 ? 4 : 0;
		if (used + strlen(name) + 3 < size)
			snprintf(names + used, size - used, "%s%s", used ? ", " : "", name);
	}
}

/* What the certificate says, and what openssl thinks of it. */
struct certificate {
	char names[200];
	long long seconds_left, days_left;
	int code; /* X509_V_ERR_*, in the words of REASON; 0: it is good */
	char reason[100];
};

enum { CODE_OTHER_NAME = 62, CODE_OTHER_ADDRESS = 64 };

/* False: openssl's words are not understood. */
static bool cli_door_client_read_certificate(const char *handshake, const char *words, struct certificate *certificate)
{
	const char *verified = strstr(handshake, "Verify return code: "), *ends = strstr(words, "notAfter=");
	time_t end;

	*certificate = (struct certificate){ 0 };
	cli_door_client_read_names(words, certificate->names, sizeof(certificate->names));
	if (!verified || !ends || !cli_door_client_read_time(ends + strlen("notAfter="), &end) ||
	    sscanf(verified, "Verify return code: %d (%99[^)]", &certificate->code, certificate->reason) != 2)
		return false;
	certificate->seconds_left = (long long)end - clock_wall_ms() / 1000;
	certificate->days_left = certificate->seconds_left / 86400;
	return true;
}

static void cli_door_client_judge(const struct cli_door_url *url, const struct certificate *certificate,
				  struct health_report *report)
{
	int code = certificate->code;
	bool ended = certificate->seconds_left <= 0, soon = certificate->days_left < DAYS_LEFT_MIN;
	bool other = code == CODE_OTHER_NAME || code == CODE_OTHER_ADDRESS;
	struct health_finding *finding;

	if (!ended && !code && !soon) {
		health_add(report, "tls", HEALTH_OK, "%s, %lld days left", certificate->names, certificate->days_left);
		return;
	}
	if (ended || !code) {
		finding = health_add(report, "tls", ended ? HEALTH_FAIL : HEALTH_WARN,
				     ended ? "%s: it has ended" : "%s, %lld days left", certificate->names,
				     certificate->days_left);
		health_fix(finding, "look why it was not renewed: certbot renew; HAProxy takes a new one over without "
				    "a reload");
	} else {
		finding = health_add(report, "tls", other ? HEALTH_FAIL : HEALTH_WARN, "%s: %s", certificate->names,
				     certificate->reason);
		if (other)
			health_fix(finding, "get a certificate for %s%s", url->named ? "*." : "", url->host);
		else
			health_fix(finding, "get one of an authority that clients know, or make them know this one");
	}
	health_why(finding, ended || code ? "clients refuse it" : "clients refuse it when it has ended");
}

static void cli_door_client_check_certificate(const struct cli_door_url *url, const struct addr *to,
					      struct health_report *report)
{
	static const char *const describe[] = {
		"openssl", "x509", "-noout", "-enddate", "-ext", "subjectAltName", NULL
	};
	struct cli_child handshake, child = { 0 };
	struct certificate certificate;
	struct err err;

	if (!cli_door_client_run(url, to, false, NULL, &handshake, report))
		return;
	AUTO_FREE char *said = handshake.output;
	const char *begin = strstr(said, "-----BEGIN CERTIFICATE-----");
	if (!begin) {
		struct health_finding *finding =
		    health_add(report, "tls", HEALTH_FAIL, "no TLS is spoken at %s", url->field);
		health_why(finding, "no client gets in by https");
		health_fix(finding, "switch HAProxy's TLS on: docs/front-door.md");
		return;
	}
	if (cli_child_run(describe, begin, CHILD_MS, &child, &err) < 0)
		return;
	AUTO_FREE char *words = child.output;
	if (cli_door_client_read_certificate(said, words, &certificate))
		cli_door_client_judge(url, &certificate, report);
	else
		health_add(report, "tls", HEALTH_SKIPPED, "openssl's words about the certificate are not understood");
}

/* ---- The answer ---- */

void cli_door_client_check(const struct cli_door_url *url, struct health_report *report)
{
	const struct health_door_question question = {
		.host = url->field, .id = url->named ? NULL : BASE_NAME_OF_CHECKS, .port = 80, .path = "/"
	};
	char request[HEALTH_DOOR_REQUEST_MAX];
	struct health_door_answer answer = { 0 };
	struct cli_child child;
	struct addr to = { 0 };

	if (!cli_door_client_find(url, &to, report))
		return;
	if (!url->tls) {
		health_door_ask(&to, &question, &answer);
		check_door_answer(&answer, url->field, report);
		return;
	}
	/* openssl does not tell why it reaches nobody. */
	health_door_reach(&to, &answer);
	if (answer.result == HEALTH_DOOR_UNREACHED) {
		check_door_answer(&answer, url->field, report);
		return;
	}
	uint64_t started = clock_now_us();
	if (!cli_door_client_run(url, &to, true, health_door_request(&question, request), &child, report))
		return;
	health_door_read_answer(child.output, strlen(child.output), &answer);
	free(child.output);
	answer.took_us = clock_now_us() - started;
	check_door_answer(&answer, url->field, report);
	cli_door_client_check_certificate(url, &to, report);
}

char *cli_door_client_version(char *text, size_t size)
{
	/* The folder of the second is not in everybody's PATH. */
	static const char *const programs[] = { "haproxy", "/usr/sbin/haproxy" };
	struct cli_child child = { 0 };
	struct err ignored;

	text[0] = '\0';
	for (size_t i = 0; i < 2 && !child.output; i++)
		cli_child_run((const char *const[]){ programs[i], "-v", NULL }, NULL, CHILD_MS, &child, &ignored);
	if (!child.output)
		return text;
	AUTO_FREE char *output = child.output;
	const char *version = strstr(output, "version ");
	if (version)
		snprintf(text, size, "%.*s", (int)strspn(version + 8, "0123456789."), version + 8);
	return text;
}
