/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Proxy variables of the caller's environment. curl, Python's httpx and many others send http://localhost:49983 to the proxy too,
 * unless NO_PROXY says otherwise, and a proxy elsewhere knows another localhost.
 */
#include "health/doctor.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Whether HOST is an entry of LIST ("localhost, .example.com"), or "*" is. */
static bool check_proxy_is_listed(const char *list, const char *host)
{
	size_t length = strlen(host);

	while (list && *list) {
		list += strspn(list, ", ");
		size_t entry = strcspn(list, ", ");
		if ((entry == length && strncasecmp(list, host, length) == 0) || (entry == 1 && *list == '*'))
			return true;
		list += entry;
	}
	return false;
}

void check_proxy_environment(const struct health_facts *facts, struct health_report *report)
{
	static const char *const variables[] = { "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY" };
	static const char *const hosts[] = { "localhost", "127.0.0.1", "::1" };
	const char *lower = facts->environment(facts->context, "no_proxy");
	const char *upper = facts->environment(facts->context, "NO_PROXY");
	const char *exempt = lower && *lower ? lower : upper;
	const char *set = NULL;
	char missing[64] = "";

	for (size_t i = 0; !set && i < sizeof(variables) / sizeof(variables[0]); i++) {
		const char *value = facts->environment(facts->context, variables[i]);
		if (value && *value)
			set = variables[i];
	}
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		size_t used = strlen(missing);
		if (!check_proxy_is_listed(exempt, hosts[i]))
			snprintf(missing + used, sizeof(missing) - used, "%s%s", used ? ", " : "", hosts[i]);
	}
	if (!set || !missing[0]) {
		health_add(report, "proxy_environment", HEALTH_OK,
			   set ? "%s is set, and NO_PROXY exempts localhost" : "no proxy is set for http%s",
			   set ? set : "");
		return;
	}
	struct health_finding *finding = health_add(report, "proxy_environment", HEALTH_FAIL, "%s=%.200s catches %s",
						    set, facts->environment(facts->context, set), missing);
	health_why(finding,
		   "E2B's SDKs and other clients started from here send calls for weftd's endpoints to that proxy");
	health_fix(finding, "export NO_PROXY=localhost,127.0.0.1,::1 no_proxy=localhost,127.0.0.1,::1");
}
