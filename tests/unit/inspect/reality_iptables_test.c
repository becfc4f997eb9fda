/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random rules of iptables beside the model: see reality_lab.h. Both kinds of iptables, where they are installed, get them.
 */
#include "unit/inspect/reality_lab.h"
#include "unit/nft_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_iptables_connection(enum way way, char *to, size_t size)
{
	if (some(2))
		snprintf(to, size, "-m conntrack %s%s ", ONE_OF("", "! "),
			 ONE_OF("--ctorigdst 1.1.1.1", "--ctorigdst 10.11.0.0/16", "--ctorigsrc 10.11.0.1",
				"--ctproto tcp", "--ctproto udp", "--ctdir ORIGINAL --ctorigdst 1.0.0.0/8",
				"--ctorigdstport 443 --ctdir REPLY --ctproto tcp",
				"--ctorigdstport 400:1000 --ctproto tcp"));
	else
		snprintf(to, size, "-m conntrack %s--ctstate %s ", ONE_OF("", "! "),
			 ONE_OF("NEW", "RELATED,ESTABLISHED", "NEW,INVALID", "UNTRACKED",
				way == WAY_BACK ? "NEW" : "NEW,DNAT"));
}

static void add_iptables_match(enum way way, const char *hook, char *to, size_t size)
{
	bool in = hook[0] != 'O', out = strcmp(hook, "OUTPUT") == 0 || strcmp(hook, "FORWARD") == 0;
	switch (some(way == WAY_OUT && strcmp(hook, "OUTPUT") == 0 ? 12 : 11)) {
	case 0:
		snprintf(to, size, "-p tcp %s--dport %s ", ONE_OF("", "! "),
			 ONE_OF("22", "1:65535", "1000:", ":1023", "49983"));
		break;
	case 1:
	case 2:
		snprintf(to, size, "-p tcp -m multiport %s--dports %s ", ONE_OF("", "! "),
			 ONE_OF("22,443", "80,443,8000:9000", "1:21,23:65535", "1000:60000",
				"22,80,443,999,1000,8080,49983,65535"));
		break;
	case 3:
		snprintf(to, size, "%s%s %s ", ONE_OF("", "! "), ONE_OF("-s", "-d"),
			 ONE_OF("10.11.0.1", "1.1.1.1", "10.11.0.0/16", "10.12.0.0/24", "1.0.0.0/8"));
		break;
	case 4:
		snprintf(to, size, "%s%s %s ", ONE_OF("", "! "), in && (!out || some(2)) ? "-i" : "-o",
			 ONE_OF("veth-1", "veth+", "eth9", "lo"));
		break;
	case 5:
		add_iptables_connection(way, to, size);
		break;
	case 6:
		snprintf(to, size, "-m addrtype %s--dst-type %s ", ONE_OF("", "! "),
			 ONE_OF("LOCAL", "UNICAST", "LOCAL,BROADCAST"));
		break;
	case 7:
		snprintf(to, size, "-m mark %s--mark %s ", ONE_OF("", "! "), ONE_OF("5", "0", "0x5/0xf"));
		break;
	case 8:
		snprintf(to, size, "-m iprange %s--dst-range %s ", ONE_OF("", "! "),
			 ONE_OF("10.11.0.0-10.11.0.9", "1.0.0.0-1.1.1.1", "10.12.0.2-10.12.0.2"));
		break;
	case 9:
		snprintf(to, size, "-p tcp %s ",
			 way == WAY_BACK
			     ? "--tcp-flags ACK ACK"
			     : ONE_OF("--syn", "! --syn", "--tcp-flags FIN,SYN,RST,ACK SYN", "--sport 1024:"));
		break;
	case 10:
		snprintf(to, size, "%s ",
			 ONE_OF("-m comment --comment x", "-m state --state NEW", "! -f", "-p udp",
				"-m multiport -p tcp --ports 443,1000:2000",
				way == WAY_BACK ? "-p tcp" : "-m connmark --mark 5"));
		break;
	default:
		snprintf(to, size, "-m owner %s ",
			 ONE_OF("--uid-owner 0", "! --uid-owner 0", "--uid-owner 1000-2000", "! --uid-owner 1337",
				"--gid-owner 0", "! --gid-owner 0"));
		break;
	}
}

static const char *some_target(const char *table, bool jumps, bool translates)
{
	if (jumps && some(3) == 0)
		return ONE_OF("-j C0", "-g C0");
	if (strcmp(table, "nat") == 0 && translates)
		return ONE_OF("-j REDIRECT", "-j DNAT --to-destination 198.51.100.1", "-j RETURN", "-j ACCEPT");
	if (strcmp(table, "nat") == 0)
		return ONE_OF("-j RETURN", "-j ACCEPT");
	if (strcmp(table, "raw") == 0)
		return ONE_OF("-j CT --notrack", "-j DROP", "-j ACCEPT", "-j RETURN");
	if (strcmp(table, "mangle") == 0)
		return ONE_OF("-j MARK --set-mark 5", "-j MARK --set-xmark 0x5/0xf", "-j DROP",
			      "-j CONNMARK --set-mark 5", "-j CONNMARK --save-mark", "-j RETURN", "-j ACCEPT");
	return ONE_OF("-j DROP", "-j ACCEPT", "-j RETURN", "-j DROP", "-j ACCEPT", "");
}

static void write_iptables_rule(enum way way, const char *table, const char *hook, const char *chain, char **at,
				char *end)
{
	*at += snprintf(*at, (size_t)(end - *at), "-A %s ", chain);
	if (some(4)) {
		add_iptables_match(way, hook, *at, (size_t)(end - *at));
		*at += strlen(*at);
	}
	*at += snprintf(*at, (size_t)(end - *at), "%s\n", some_target(table, chain == hook, way != WAY_IN));
}

static void write_iptables(enum way way, char text[static REALITY_TEXT])
{
	static const char *const hooks[WAYS][4] = {
		/* raw, mangle, nat, filter */
		{ "OUTPUT", "OUTPUT", "OUTPUT", "OUTPUT" },
		{ "PREROUTING", "FORWARD", "PREROUTING", "FORWARD" },
		{ "PREROUTING", "INPUT", "PREROUTING", "INPUT" },
		{ "PREROUTING", "FORWARD", "PREROUTING", "FORWARD" },
	};
	static const char *const tables[] = { "raw", "mangle", "nat", "filter" };
	char *at = text, *end = text + REALITY_TEXT;

	for (size_t i = 0; i < 4; i++) {
		const char *table = tables[i], *hook = hooks[way][i];
		at += snprintf(at, (size_t)(end - at), "*%s\n:%s %s\n:C0 -\n", table, hook,
			       i == 3 && some(3) == 0 ? "DROP" : "ACCEPT");
		/* Marks of conntrack are of no use without it. */
		for (unsigned j = i == 0 ? some(2) : some(4); j > 0; j--)
			write_iptables_rule(way, table, hook, hook, &at, end);
		for (unsigned j = some(3); j > 0; j--)
			write_iptables_rule(way, table, hook, "C0", &at, end);
		at += snprintf(at, (size_t)(end - at), "COMMIT\n");
	}
}

static void iptables_does_as_is_said(const char *program, enum way way)
{
	char text[REALITY_TEXT], command[64];
	struct tally tally = { 0 };

	snprintf(command, sizeof(command), "command -v %s >/dev/null", program);
	if (system(command) != 0) {
		fprintf(stderr, "no %s here\n", program);
		return;
	}
	snprintf(command, sizeof(command), "%s 2>/dev/null", program);
	reality_begin(way);
	for (int i = 0; i < 25; i++) {
		write_iptables(way, text);
		if (reality_load(program, text))
			reality_compare(way, text, &tally);
		else
			fprintf(stderr, "refused:\n%s", text);
	}
	reality_tell(way, &tally);
}

START_TEST(rules_of_iptables_nft_do_as_is_said)
{
	iptables_does_as_is_said("iptables-nft-restore", (enum way)_i);
}
END_TEST

START_TEST(rules_of_iptables_legacy_do_as_is_said)
{
	iptables_does_as_is_said("iptables-legacy-restore", (enum way)_i);
}
END_TEST

int main(void)
{
	TCase *reality = tcase_create("reality");

	lab_require_root();
	tcase_add_checked_fixture(reality, reality_setup, reality_teardown);
	tcase_set_timeout(reality, 300);
	tcase_add_loop_test(reality, rules_of_iptables_nft_do_as_is_said, 0, WAYS);
	tcase_add_loop_test(reality, rules_of_iptables_legacy_do_as_is_said, 0, WAYS);

	Suite *suite = suite_create("rules of iptables");
	suite_add_tcase(suite, reality);

	return run_suite(suite);
}
