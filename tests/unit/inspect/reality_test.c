/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random rules of nft beside the model: see reality_lab.h. The rules use what nft has for ports, addresses, links, marks, users and
 * connections, with sets, maps and jumps.
 */
#include "unit/inspect/reality_lab.h"
#include "unit/nft_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *some_port(void)
{
	return ONE_OF("22", "80", "443", "999", "1000", "8080", "49983", "65535", "1");
}

static const char *some_ports(void)
{
	return ONE_OF("1-65535", "22-80", "1000-65535", "1-1023", "400-50000", "{ 22, 443 }", "{ 80, 443, 8000-9000 }",
		      "{ 1-21, 23-65535 }", "{ 1000-2000, 2001-3000, 40000-65535 }", "@ports", "@ranges");
}

static const char *some_address(void)
{
	return ONE_OF("10.11.0.1", "1.1.1.1", "10.12.0.2", "10.11.0.0/16", "1.0.0.0/8", "10.11.0.0-10.11.0.9",
		      "{ 10.11.0.0/16, 1.1.1.1 }", "{ 10.12.0.0/16, 192.0.2.0/24 }", "@addresses");
}

/* Of ports and addresses. */
static void add_match_of_place(char *to, size_t size)
{
	switch (some(6)) {
	case 0:
		snprintf(to, size, "tcp dport %s %s ", ONE_OF("==", "!=", ">=", "<=", "<", ">"), some_port());
		break;
	case 1:
	case 2:
		snprintf(to, size, "tcp dport %s%s ", ONE_OF("", "!= "), some_ports());
		break;
	case 3:
		snprintf(to, size, "ip %s %s%s ", ONE_OF("daddr", "saddr"), ONE_OF("", "!= "), some_address());
		break;
	case 4:
		snprintf(to, size, "tcp sport %s ",
			 ONE_OF(">= 1024", "1-1023", "443", "!= 443", "{ 443, 20000-60000 }"));
		break;
	default:
		snprintf(to, size, "ip daddr . tcp dport %s ",
			 ONE_OF("{ 10.11.0.1 . 22, 1.1.1.1 . 443 }", "{ 10.11.0.0/16 . 1000-65535, 1.1.1.1 . 1-999 }",
				"!= { 1.1.1.1 . 80, 10.11.0.1 . 80, 10.12.0.2 . 80 }", "@pairs"));
		break;
	}
}

/* Of links, and of what the host knows of the packet. */
static void add_match_of_link(char *to, size_t size)
{
	switch (some(5)) {
	case 0:
		snprintf(
		    to, size, "%s %s%s ", ONE_OF("iifname", "oifname"), ONE_OF("", "!= "),
		    ONE_OF("\"veth-*\"", "\"veth-1\"", "\"eth9\"", "{ \"veth-1\", \"lo\" }", "{ \"eth9\", \"eth1\" }"));
		break;
	case 1:
		snprintf(to, size, "%s %s ", ONE_OF("iifgroup", "oifgroup"), ONE_OF("1874", "!= 1874", ">= 5", "1-9"));
		break;
	case 2:
		snprintf(to, size, "meta mark %s ", ONE_OF("0", "5", "!= 5", ">= 3", "& 0xff == 5", "{ 5, 7 }", "1-6"));
		break;
	case 3:
		snprintf(to, size, "fib %s type %s ", ONE_OF("daddr", "saddr"), ONE_OF("local", "unicast", "!= local"));
		break;
	default:
		snprintf(to, size, "counter ");
		break;
	}
}

/* Later packets of a connection differ in their flags, and what has its mark from before is not known. */
static void add_match_of_kind(enum way way, char *to, size_t size)
{
	bool back = way == WAY_BACK;

	switch (some(5)) {
	case 0:
		snprintf(
		    to, size, "ct state %s ",
		    ONE_OF("new", "established,related", "!= new", "{ new, established }", "invalid", "untracked"));
		break;
	case 1:
		snprintf(to, size, "%s ",
			 ONE_OF("meta l4proto { tcp, udp }", "ip protocol tcp", "meta l4proto != tcp",
				"meta protocol != ip", "ip frag-off & 0x1fff != 0", "meta protocol ip",
				"meta l4proto udp"));
		break;
	case 2:
		snprintf(to, size, "%s ",
			 ONE_OF("ct original ip daddr 1.1.1.1", "ct original ip daddr != 10.11.0.0/16",
				"ct original ip saddr 10.11.0.1", "ct original ip saddr { 10.12.0.0/16, 10.11.0.1 }",
				"ct original protocol tcp", "meta l4proto tcp ct original proto-dst 400-500",
				"meta l4proto tcp ct original proto-dst != 80"));
		break;
	case 3:
		snprintf(to, size, "%s ",
			 back ? "tcp flags & ack != 0"
			      : ONE_OF("tcp flags syn", "tcp flags & (fin|syn|rst|ack) == syn",
				       "tcp flags & (fin|rst) != 0"));
		break;
	default:
		snprintf(to, size, "%s ",
			 ONE_OF("ip daddr & 255.255.0.0 == 10.11.0.0", "tcp dport & 1 == 1", "ct direction original",
				"ct direction reply", back ? "" : "ct status dnat", back ? "" : "ct mark 5",
				back ? "" : "ct mark and 0xf0 == 0", "ip daddr . meta l4proto { 10.11.0.1 . tcp }",
				"iifname . tcp dport { \"veth-1\" . 443, \"eth9\" . 80 }"));
		break;
	}
}

static void add_match(enum way way, char *to, size_t size)
{
	switch (some(way == WAY_OUT ? 8 : 7)) {
	case 0:
	case 1:
	case 2:
		add_match_of_place(to, size);
		break;
	case 3:
	case 4:
		add_match_of_link(to, size);
		break;
	case 5:
	case 6:
		add_match_of_kind(way, to, size);
		break;
	default:
		snprintf(to, size, "meta %s %s ", ONE_OF("skuid", "skgid"),
			 ONE_OF("0", "!= 0", ">= 1000", "{ 0, 1000 }", "1000-2000", "0-999", "< 5"));
		break;
	}
}

/* LEVEL: how many chains may be jumped to. */
static void add_verdict(enum way way, unsigned level, bool nat, char *to, size_t size)
{
	unsigned target = level ? some(level) : 0;

	switch (some(level ? 10 : 7)) {
	case 0:
	case 1:
		snprintf(to, size, "accept\n");
		break;
	case 2:
	case 3:
		snprintf(to, size, nat ? "%s\n" : "drop\n",
			 ONE_OF("redirect", "meta l4proto tcp redirect to :15001",
				"meta l4proto tcp dnat ip to 198.51.100.1:15001", "dnat ip to 198.51.100.1",
				"ip daddr 10.11.0.1 dnat ip to tcp dport map { 80 : 198.51.100.1, 443 : 127.0.0.1 }"));
		break;
	case 4:
		snprintf(to, size, "return\n");
		break;
	case 5:
		snprintf(to, size, "%s\n",
			 ONE_OF("meta mark set 5", "meta mark set mark and 0xfffffff0 or 5", "ct mark set 5",
				way == WAY_BACK ? "accept" : "meta mark set ct mark",
				"meta mark set tcp dport map { 22 : 5, 80-1000 : 7, 8080 : 1 }",
				"ct mark set meta mark"));
		break;
	case 6:
		snprintf(to, size, nat ? "accept\n" : "%s\n",
			 ONE_OF("tcp dport vmap { 22 : accept, 80 : drop, 1000-60000 : drop }",
				"ip daddr . tcp dport vmap { 10.11.0.1 . 80 : drop, 1.1.1.1 . 443 : accept }",
				"ct state vmap { new : drop, established : accept, invalid : return }",
				"meta mark vmap { 5 : drop, 7 : accept }",
				"iifname vmap { \"veth-1\" : drop, \"eth9\" : accept }"));
		break;
	case 7:
	case 8:
		snprintf(to, size, "jump c%u\n", target);
		break;
	default:
		snprintf(to, size, "goto c%u\n", target);
		break;
	}
}

static void add_rules(enum way way, unsigned level, bool nat, char *to, size_t size)
{
	size_t used = 0;

	for (unsigned i = some(4) + 1; i > 0; i--) {
		for (unsigned j = some(3); j > 0; j--) {
			add_match(way, to + used, size - used);
			used += strlen(to + used);
		}
		add_verdict(way, level, nat, to + used, size - used);
		used += strlen(to + used);
	}
}

/* The rules: a chain or two at hooks of WAY, and chains that these go to. */
static void write_rules(enum way way, char text[static REALITY_TEXT])
{
	static const char *const hooks[WAYS][3] = {
		{ "output", "output", "postrouting" },
		{ "prerouting", "forward", "forward" },
		{ "prerouting", "input", "input" },
		{ "prerouting", "forward", "forward" },
	};
	char rules[REALITY_TEXT / 4];
	size_t used;

	used = (size_t)snprintf(
	    text, REALITY_TEXT,
	    "flush ruleset\n"
	    "table inet weft { chain keep { type filter hook forward priority 500; ct state new accept; }\n}\n"
	    "table %s other {\n"
	    "set ports { type inet_service; elements = { 22, 443, 999 }\n}\n"
	    "set ranges { type inet_service; flags interval; elements = { 20-25, 1000-60000 }\n}\n"
	    "set addresses { type ipv4_addr; flags interval; elements = { 10.11.0.0/24, 1.1.1.0/30 }\n}\n"
	    "set pairs { type ipv4_addr . inet_service; flags interval; "
	    "elements = { 10.11.0.0/16 . 80, 1.0.0.0-2.0.0.0 . 1-1000 }\n}\n",
	    ONE_OF("ip", "inet"));
	/* What comes to the host arrives there redirected too. */
	bool nat = (way == WAY_OUT || way == WAY_THROUGH) && some(3) == 0;
	for (unsigned chain = 0; chain < 2; chain++) {
		rules[0] = '\0';
		add_rules(way, chain, nat, rules, sizeof(rules));
		used += (size_t)snprintf(text + used, REALITY_TEXT - used, "chain c%u {\n%s}\n", chain, rules);
	}
	if (nat) {
		rules[0] = '\0';
		add_rules(way, 2, true, rules, sizeof(rules));
		used += (size_t)snprintf(text + used, REALITY_TEXT - used,
					 "chain n { type nat hook %s priority -100;\n%s}\n",
					 way == WAY_OUT ? "output" : "prerouting", rules);
	}
	for (unsigned chain = 0; chain < (nat ? 1u : 2u); chain++) {
		rules[0] = '\0';
		add_rules(way, nat ? 0 : 2, false, rules, sizeof(rules));
		used += (size_t)snprintf(text + used, REALITY_TEXT - used,
					 "chain b%u { type filter hook %s priority %s; policy %s;\n%s}\n", chain,
					 hooks[way][some(3)], ONE_OF("-300", "-150", "0", "10"),
					 ONE_OF("accept", "accept", "drop"), rules);
	}
	snprintf(text + used, REALITY_TEXT - used, "}\n");
}

START_TEST(rules_of_nft_do_as_is_said)
{
	char text[REALITY_TEXT];
	struct tally tally = { 0 };
	enum way way = (enum way)_i;

	reality_begin(way);
	for (int i = 0; i < 40; i++) {
		write_rules(way, text);
		/* Some hooks have no such expression; nft says so, and the kernel keeps what it had. */
		if (reality_load("nft -f", text))
			reality_compare(way, text, &tally);
		else
			fprintf(stderr, "refused:\n%s", text);
	}
	reality_tell(way, &tally);
}
END_TEST

int main(void)
{
	TCase *reality = tcase_create("reality");

	lab_require_root();
	tcase_add_checked_fixture(reality, reality_setup, reality_teardown);
	tcase_set_timeout(reality, 300);
	tcase_add_loop_test(reality, rules_of_nft_do_as_is_said, 0, WAYS);

	Suite *suite = suite_create("rules of nft");
	suite_add_tcase(suite, reality);

	return run_suite(suite);
}
