/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The doctor's look at the ways of guests to services and proxies of the host, and of packets to who wakes guests, on made-up hosts. */
#include "unit/health/doctor_fixture.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <netinet/in.h>
#include <string.h>

static struct config_service service;
static struct config_redirect redirect = { 80, 5016 };
static int path_error;

static int socket_at(void *context, const char *path)
{
	(void)context;
	ck_assert_str_eq(path, "/run/app.sock");
	return path_error;
}

static void setup(void)
{
	doctor_setup();
	facts.socket_at = socket_at;
	path_error = 0;
	service = (struct config_service){ .address = addr_from_ipv4(0xc0000201, 80) };
}

static void teardown(void)
{
	config->egress.allow_host = (struct config_service_list){ .items = NULL };
	config->egress.redirect = (struct config_redirect_list){ .items = NULL };
	config->wake.notify = NULL;
	doctor_teardown();
}

static void serve(enum config_service_kind kind)
{
	service.kind = kind;
	service.port = 5010;
	service.target = addr_from_ipv4(INADDR_LOOPBACK, 5012);
	strcpy(service.path, "/run/app.sock");
	config->egress.allow_host = (struct config_service_list){ .items = &service, .count = 1 };
}

static void listens(uint32_t ip, uint16_t port)
{
	struct health_socket *socket = vec_push(&facts.sockets);

	*socket = (struct health_socket){ .local = addr_from_ipv4(ip, port), .listening = true };
}

/* Another program's filter of what comes to the host, which lets pass what has been redirected, or nothing. */
static struct ruleset_chain *drop_input(bool but_redirected)
{
	static const uint32_t dnat = IPS_DST_NAT, none = 0;
	struct ruleset_chain *chain = inspect_ruleset_add_chain(&facts.ruleset);

	strcpy(chain->family, "inet");
	strcpy(chain->table, "other");
	strcpy(chain->name, "incoming");
	strcpy(chain->type, "filter");
	chain->hook = HOOK_INPUT;
	chain->drops = true;
	if (but_redirected) {
		struct ruleset_rule *rule = inspect_ruleset_add_rule(chain);
		struct ruleset_step mask = { .kind = STEP_MASK, .length = 4 };
		struct ruleset_step compare = { .kind = STEP_COMPARE, .compare = COMPARE_DIFFERS, .length = 4 };

		memcpy(mask.a, &dnat, sizeof(dnat));
		memcpy(compare.a, &none, sizeof(none));
		inspect_ruleset_add_step(
		    rule, &(struct ruleset_step){ .kind = STEP_LOAD, .field = FIELD_CT_STATUS, .length = 4 });
		inspect_ruleset_add_step(rule, &mask);
		inspect_ruleset_add_step(rule, &compare);
		rule->verdict = VERDICT_ACCEPT;
	}
	return chain;
}

START_TEST(without_services_there_is_nothing_to_see)
{
	found(check_services, HEALTH_OK, "no service of the host and no proxy");
}
END_TEST

START_TEST(a_filter_that_drops_a_service_is_named_with_the_port)
{
	drop_input(false);
	serve(CONFIG_SERVICE_SAME);
	found(check_services, HEALTH_FAIL, "port 80, for [egress] allow_host 192.0.2.1:80, are dropped in nftables");
	serve(CONFIG_SERVICE_PORT);
	const struct health_finding *finding = found(check_services, HEALTH_FAIL, "chain incoming, by its policy");
	ck_assert_ptr_nonnull(strstr(finding->detail, "port 5010, for [egress] allow_host 192.0.2.1:80=5010"));
	ck_assert_str_eq(finding->fix, "nft insert rule inet other incoming iifname \"veth-*\" tcp dport 5010 accept");
	serve(CONFIG_SERVICE_UNIX);
	found(check_services, HEALTH_FAIL, "port 5382, for [egress] allow_host 192.0.2.1:80=unix:/run/app.sock");
	/* ufw's. */
	strcpy(facts.ruleset.items[0].family, "ip");
	strcpy(facts.ruleset.items[0].table, "filter");
	ck_assert_str_eq(found(check_services, HEALTH_FAIL, "table ip filter")->fix,
			 "iptables -I INPUT -i veth-+ -p tcp --dport 5382 -j ACCEPT");
}
END_TEST

/* As firewalld has it: what it finds redirected was meant to come here. */
START_TEST(a_filter_that_accepts_what_was_redirected_is_none_in_the_way)
{
	struct inspect_address own = { { 0xc0000201, 24 }, 2 };

	drop_input(true);
	serve(CONFIG_SERVICE_SAME);
	found(check_services, HEALTH_OK, "services of the host (1) and proxies (0) are clear");
	/* An address of the host is no redirection. */
	facts.host = (struct inspect_host){ .addresses = &own, .address_count = 1 };
	found(check_services, HEALTH_FAIL, "are dropped");
	facts.host = (struct inspect_host){ 0 };
}
END_TEST

START_TEST(a_target_that_nobody_serves_is_named)
{
	serve(CONFIG_SERVICE_ADDRESS);
	found(check_services, HEALTH_OK, "services of the host (1)");
	file("/proc/net/tcp", "");
	found(check_services, HEALTH_WARN, "nobody listens on 127.0.0.1:5012, for [egress] allow_host");
	listens(INADDR_ANY, 5012);
	found(check_services, HEALTH_OK, "services of the host (1)");
	serve(CONFIG_SERVICE_UNIX);
	found(check_services, HEALTH_OK, "services of the host (1)");
	/* Without privileges no firewall is visible. */
	strcpy(facts.ruleset_error, "EPERM");
	found(check_services, HEALTH_SKIPPED, "not visible from here: EPERM");
	path_error = ENOTSOCK;
	found(check_services, HEALTH_FAIL, "/run/app.sock of [egress] allow_host");
	path_error = ENOENT;
	found(check_services, HEALTH_FAIL, "No such file");
	path_error = EACCES;
	ck_assert_ptr_nonnull(strstr(
	    found(check_services, HEALTH_WARN, "no right to connect to /run/app.sock, for [egress] allow_host")->fix,
	    "0666"));
}
END_TEST

START_TEST(a_port_to_which_the_kernel_leads_and_that_nobody_has_is_named)
{
	file("/proc/net/tcp", "");
	serve(CONFIG_SERVICE_SAME);
	found(check_services, HEALTH_WARN, "nobody listens on 0.0.0.0:80, for [egress] allow_host 192.0.2.1:80");
	serve(CONFIG_SERVICE_PORT);
	found(check_services, HEALTH_WARN, "nobody listens on 0.0.0.0:5010, for [egress] allow_host 192.0.2.1:80=5010");
	/* A service of UDP, 5010 being 1392, and a client that happens to ask such a port. */
	file("/proc/net/udp", "  1: 0100007F:8000 0100007F:1392 07 00000000:00000000\n");
	found(check_services, HEALTH_WARN, "nobody listens on 0.0.0.0:5010");
	file("/proc/net/udp6", "  1: 00000000000000000000000000000000:1392 00000000000000000000000000000000:0000 07\n");
	found(check_services, HEALTH_OK, "services of the host (1)");
	file("/proc/net/udp6", "");
	listens(INADDR_ANY, 5010);
	found(check_services, HEALTH_OK, "services of the host (1)");
}
END_TEST

START_TEST(a_proxy_that_is_gone_or_walled_in_is_named)
{
	config->egress.redirect = (struct config_redirect_list){ .items = &redirect, .count = 1 };
	file("/proc/net/tcp", "");
	found(check_services, HEALTH_WARN, "nobody listens on 0.0.0.0:5016, for [egress] redirect 80:5016");
	listens(INADDR_LOOPBACK, 5016);
	ck_assert_ptr_nonnull(strstr(found(check_services, HEALTH_WARN, "nobody listens on 0.0.0.0:5016")->fix,
				     "on a loopback address no guest reaches it"));
	listens(INADDR_ANY, 5016);
	found(check_services, HEALTH_OK, "services of the host (0) and proxies (1)");
	drop_input(false);
	found(check_services, HEALTH_FAIL, "port 5016, for [egress] redirect 80:5016, are dropped");
}
END_TEST

START_TEST(a_program_that_has_the_port_of_services_is_named)
{
	trial_fails("0.0.0.0:5382", EADDRINUSE);
	bound_pid = 80;
	found(check_ports, HEALTH_OK, "nobody else");
	serve(CONFIG_SERVICE_UNIX);
	ck_assert_ptr_nonnull(
	    strstr(found(check_ports, HEALTH_FAIL, "0.0.0.0:5382 of services of the host is taken")->fix,
		   "[egress] service_port"));
}
END_TEST

START_TEST(a_sandbox_that_packets_wake_needs_somebody_who_hears)
{
	found(check_wake, HEALTH_OK, "no sandbox can be woken by packets");
	facts.said.wakeable = 2;
	found(check_wake, HEALTH_OK, "no sandbox can be woken by packets");
	facts.said.answered = true;
	ck_assert_ptr_nonnull(
	    strstr(found(check_wake, HEALTH_WARN, "packets wake 2 sandboxes, and nobody is told")->why,
		   "/v1/sandboxes?wake=asked"));
	facts.said.event_readers = 1;
	found(check_wake, HEALTH_OK, "1 reader of events is told");
	facts.said.wakeable = 0;
	found(check_wake, HEALTH_OK, "no sandbox can be woken by packets");
}
END_TEST

START_TEST(the_socket_of_the_manager_is_looked_for)
{
	static char path[] = "/run/app.sock";

	config->wake.notify = path;
	found(check_wake, HEALTH_OK, "the manager listens at [wake] notify = /run/app.sock");
	path_error = ENOENT;
	ck_assert_ptr_nonnull(strstr(found(check_wake, HEALTH_WARN, "No such file")->why, "it stays paused"));
	facts.said.event_readers = 1;
	ck_assert_ptr_nonnull(strstr(found(check_wake, HEALTH_WARN, "No such file")->why, "only readers of events"));
	path_error = ENOTSOCK;
	found(check_wake, HEALTH_WARN, "it is another program's file, and no socket");
	path_error = EACCES;
	found(check_wake, HEALTH_SKIPPED, "not visible from here");
}
END_TEST

int main(void)
{
	TCase *services = tcase_create("services");

	tcase_add_checked_fixture(services, setup, teardown);
	tcase_add_test(services, without_services_there_is_nothing_to_see);
	tcase_add_test(services, a_filter_that_drops_a_service_is_named_with_the_port);
	tcase_add_test(services, a_filter_that_accepts_what_was_redirected_is_none_in_the_way);
	tcase_add_test(services, a_target_that_nobody_serves_is_named);
	tcase_add_test(services, a_port_to_which_the_kernel_leads_and_that_nobody_has_is_named);
	tcase_add_test(services, a_proxy_that_is_gone_or_walled_in_is_named);
	tcase_add_test(services, a_program_that_has_the_port_of_services_is_named);
	tcase_add_test(services, a_sandbox_that_packets_wake_needs_somebody_who_hears);
	tcase_add_test(services, the_socket_of_the_manager_is_looked_for);
	Suite *suite = suite_create("services");
	suite_add_tcase(suite, services);
	return run_suite(suite);
}
