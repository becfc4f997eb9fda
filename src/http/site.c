/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sec-Fetch-Site is the plainest answer, but browsers send it only to addresses that they take for trustworthy, and old ones never. Then
 * Origin remains, which comes with every request that could change anything. A browser that sends neither is known by its
 * User-Agent.
 */
#include "http/site.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool http_site_same(const char *text, size_t length, const char *wanted)
{
	return strlen(wanted) == length && !strncasecmp(text, wanted, length);
}

static void http_site_read_origin(struct http_site *site, const char *value, size_t length)
{
	site->browser = true;
	if (site->has_origin)
		site->other = true;
	site->has_origin = true;
	if (length <= SITE_ORIGIN_MAX)
		memcpy(site->origin, value, length);
}

void http_site_read_field(struct http_site *site, const char *name, size_t name_length, const char *value,
			  size_t length)
{
	static const char agent[] = "Mozilla/";

	if (http_site_same(name, name_length, "Origin")) {
		http_site_read_origin(site, value, length);
	} else if (http_site_same(name, name_length, "Sec-Fetch-Site")) {
		site->browser = true;
		if (!http_site_same(value, length, "same-origin") && !http_site_same(value, length, "none"))
			site->other = true;
	} else if (http_site_same(name, name_length, "Sec-Fetch-Mode")) {
		site->navigates = http_site_same(value, length, "navigate");
	} else if (http_site_same(name, name_length, "Sec-Fetch-Dest")) {
		site->document = http_site_same(value, length, "document");
	} else if (http_site_same(name, name_length, "User-Agent")) {
		if (length >= sizeof(agent) - 1 && !memcmp(value, agent, sizeof(agent) - 1))
			site->browser = true;
	}
}

/* Whether ORIGIN is the one of a page that was served under HOST. A proxy in front may speak TLS. */
static bool http_site_is_origin_of(const char *origin, const char *host)
{
	static const char *const schemes[] = { "http://", "https://" };

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t length = strlen(schemes[i]);
		if (!strncasecmp(origin, schemes[i], length) && !strcasecmp(origin + length, host))
			return true;
	}
	return false;
}

enum http_sender http_site_judge(const struct http_site *site, const char *host)
{
	if (!site->browser)
		return SENDER_PROGRAM;
	if (site->has_origin && (!*host || !http_site_is_origin_of(site->origin, host)))
		return SENDER_FOREIGN;
	if (!site->other)
		return SENDER_OWN;
	return site->navigates && site->document && !site->has_origin ? SENDER_LINK : SENDER_FOREIGN;
}

/* Whether TEXT is "" or ":" and a port. */
static bool http_site_is_port(const char *text)
{
	return !*text || (*text == ':' && text[1] && strspn(text + 1, "0123456789") == strlen(text + 1));
}

bool http_site_is_address(const char *host)
{
	static const char name[] = "localhost";
	bool six = *host == '[';
	const char *start = six ? host + 1 : host;
	size_t length = strcspn(start, six ? "]" : ":");
	const char *rest = start + length;
	char text[INET6_ADDRSTRLEN];
	struct in6_addr binary;

	if (!*host)
		return true;
	if (six && *rest++ != ']')
		return false;
	if (length >= sizeof(text) || !http_site_is_port(rest))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)length, start);
	if (!six && !strcasecmp(text, name))
		return true;
	return inet_pton(six ? AF_INET6 : AF_INET, text, &binary) == 1;
}
