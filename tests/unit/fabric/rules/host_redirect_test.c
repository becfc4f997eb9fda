/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the host's table leads to services and proxies of the host. */
#include "unit/fabric/rules/nft_host_lab.h"
#include "unit/run_suite.h"

#include "fabric/slot/flows.h"
#include "kernel/conntrack.h"

#include <arpa/inet.h>
#include <check.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { VIRTUAL = IP(192, 0, 2, 1), HTTP = 5016, TLS = 5017, OTHERS = 5018 };

static struct config_redirect by_port[] = { { 80, HTTP }, { 443, TLS }, { 0, OTHERS } };

/* A socket that listens on all addresses. */
static int listen_on(int type, uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	if (type == SOCK_STREAM)
		ck_assert_int_eq(listen(fd, 16), 0);
	return fd;
}

static void redirect(size_t count)
{
	lab.config->egress.redirect = (struct config_redirect_list){ .items = by_port, .count = count };
	OK(rules_host_apply(lab.config, &err));
}

static void serve(struct config_service *services, size_t count)
{
	lab.config->egress.allow_host = (struct config_service_list){ .items = services, .count = count };
	OK(rules_host_apply(lab.config, &err));
}

/* The first sandbox connects to DESTINATION, and LISTENER gets the connection and the knowledge of both ends. */
static void gets(int listener, uint32_t destination, uint16_t port)
{
	struct packet packet = syn(first_ip, destination, port), answer = passes(first, first, packet);
	struct sockaddr_in peer, original;
	socklen_t size = sizeof(peer);

	ck_assert_uint_eq(answer.tcp_flags, TH_SYN | TH_ACK);
	ck_assert_uint_eq(answer.source, destination);
	ck_assert_uint_eq(answer.source_port, port);
	packet.tcp_flags = TH_ACK;
	packet.sequence++;
	packet.acknowledged = answer.sequence + 1;
	lab_sends(first, &packet);
	struct pollfd ready = { .fd = listener, .events = POLLIN };
	ck_assert_int_eq(poll(&ready, 1, LAB_TIMEOUT_MS), 1);
	int fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(ntohl(peer.sin_addr.s_addr), first_ip);
	size = sizeof(original);
	ck_assert_int_eq(getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &original, &size), 0);
	ck_assert_uint_eq(ntohl(original.sin_addr.s_addr), destination);
	ck_assert_uint_eq(ntohs(original.sin_port), port);
	/* A reset each way: nothing is sent again. */
	packet.tcp_flags = TH_RST;
	lab_sends(first, &packet);
	close(fd);
	while (!lab_receives_nothing(first))
		;
	OK(kern_conntrack_flush(-1, &err));
}

static void is_reset(int from, struct packet packet)
{
	struct packet answer = passes(from, from, packet);

	ck_assert_uint_eq(answer.tcp_flags & TH_RST, TH_RST);
}

START_TEST(the_listing_can_be_loaded_again_and_is_then_still_intact)
{
	struct cidr4 dns = { IP(10, 1, 1, 1), 32 }, open = { IP(10, 9, 0, 0), 16 };
	struct config_service services[] = {
		{ .address = addr_from_ipv4(VIRTUAL, 79), .kind = CONFIG_SERVICE_SAME },
		{ .address = addr_from_ipv4(VIRTUAL, 80), .kind = CONFIG_SERVICE_PORT, .port = 5010 },
		{ .address = addr_from_ipv4(VIRTUAL, 81), .kind = CONFIG_SERVICE_UNIX },
	};

	lab.config->addresses.dns = (struct cidr4_list){ .items = &dns, .count = 1 };
	lab.config->egress.open = (struct cidr4_list){ .items = &open, .count = 1 };
	serve(services, 3);
	redirect(3);
	char *listing = lab_round_trip();
	ck_assert_ptr_nonnull(strstr(listing, "ip daddr 192.0.2.1 tcp dport 79 fib daddr type != local redirect"));
	ck_assert_ptr_nonnull(strstr(listing, "ip daddr 192.0.2.1 udp dport 80 redirect to :5010"));
	ck_assert_ptr_nonnull(strstr(listing, "ip daddr 192.0.2.1 tcp dport 81 redirect to :5382"));
	ck_assert_ptr_null(strstr(listing, "udp dport 81 "));
	ck_assert_ptr_nonnull(strstr(listing, "tcp dport 80 redirect to :5016"));
	ck_assert_ptr_nonnull(strstr(listing, "meta l4proto tcp redirect to :5018"));
	ck_assert_ptr_nonnull(strstr(listing, "tcp dport 5382 reject with tcp reset"));
	free(listing);
	ck_assert(is_intact());
}
END_TEST

START_TEST(a_service_at_another_port_is_reached_at_an_address_of_nobody_s_and_at_the_host_s_own)
{
	struct config_service services[] = {
		{ .address = addr_from_ipv4(VIRTUAL, 80), .kind = CONFIG_SERVICE_PORT, .port = 5010 },
		{ .address = addr_from_ipv4(UPLINK_IP, 80), .kind = CONFIG_SERVICE_PORT, .port = 5010 },
	};
	int service = listen_on(SOCK_STREAM, 5010), datagrams = listen_on(SOCK_DGRAM, 5010);
	char byte;

	serve(services, 2);
	gets(service, VIRTUAL, 80);
	gets(service, UPLINK_IP, 80);
	struct packet packet = make(IPPROTO_UDP, first_ip, VIRTUAL, 80);
	packet.payload = 1;
	lab_sends(first, &packet);
	ck_assert_int_eq(recv(datagrams, &byte, 1, 0), 1);
	/* Not where it is itself, and not beside it. */
	is_denied(syn(first_ip, veth_ip, 5010));
	is_denied(syn(first_ip, UPLINK_IP, 5010));
	is_denied(syn(first_ip, UPLINK_IP, 81));
	close(service);
	close(datagrams);
}
END_TEST

START_TEST(what_weftd_forwards_comes_to_its_port_and_nothing_else_does)
{
	struct config_service services[] = {
		{ .address = addr_from_ipv4(VIRTUAL, 81), .kind = CONFIG_SERVICE_ADDRESS },
		{ .address = addr_from_ipv4(VIRTUAL, 82), .kind = CONFIG_SERVICE_UNIX },
	};
	int listener = listen_on(SOCK_STREAM, 5382);

	serve(services, 2);
	gets(listener, VIRTUAL, 81);
	gets(listener, VIRTUAL, 82);
	is_denied(syn(first_ip, veth_ip, 5382));
	is_denied(syn(first_ip, UPLINK_IP, 5382));
	is_reset(uplink, syn(CLIENT, UPLINK_IP, 5382));
	ck_assert_int_lt(accept(listener, NULL, NULL), 0);
	/* Without such a service, the port is whose it may be. */
	serve(NULL, 0);
	struct packet answer = passes(uplink, uplink, syn(CLIENT, UPLINK_IP, 5382));
	ck_assert_uint_eq(answer.tcp_flags, TH_SYN | TH_ACK);
	close(listener);
}
END_TEST

START_TEST(a_proxy_gets_the_tcp_for_its_ports_with_source_and_destination)
{
	int http = listen_on(SOCK_STREAM, HTTP), tls = listen_on(SOCK_STREAM, TLS),
	    others = listen_on(SOCK_STREAM, OTHERS);

	redirect(3);
	gets(http, ELSEWHERE, 80);
	gets(tls, ELSEWHERE, 443);
	gets(others, ELSEWHERE, 22);
	/* It judges no more than that. */
	passes(first, uplink, make(IPPROTO_UDP, first_ip, ELSEWHERE, 443));
	/* Of ports that are not named, TCP leaves as ever. */
	redirect(2);
	gets(http, ELSEWHERE, 80);
	passes(first, uplink, syn(first_ip, ELSEWHERE, 22));
	close(http);
	close(tls);
	close(others);
}
END_TEST

/* The proxy would open what it gets from the host, which may reach everything. */
START_TEST(a_proxy_gets_nothing_that_no_guest_may_reach)
{
	static const uint32_t denied[] = { UPLINK_IP,          IP(10, 12, 0, 2),      IP(10, 12, 0, 4),
					   IP(10, 11, 0, 2),   IP(10, 11, 7, 7),      IP(10, 200, 0, 1),
					   IP(192, 168, 0, 1), IP(169, 254, 169, 254) };
	struct cidr4 dns = { IP(10, 1, 1, 1), 32 }, open = { IP(10, 9, 0, 0), 16 };
	int listener = listen_on(SOCK_STREAM, OTHERS);

	lab.config->addresses.dns = (struct cidr4_list){ .items = &dns, .count = 1 };
	lab.config->egress.open = (struct cidr4_list){ .items = &open, .count = 1 };
	redirect(3);
	for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++) {
		is_denied(syn(first_ip, denied[i], 22));
		is_denied(syn(first_ip, denied[i], OTHERS));
	}
	ck_assert_int_lt(accept(listener, NULL, NULL), 0);
	gets(listener, IP(10, 9, 1, 1), 22);
	passes(first, uplink, syn(first_ip, dns.ip, 53));
	close(listener);
}
END_TEST

START_TEST(a_service_comes_before_the_proxies)
{
	struct config_service services[] = {
		{ .address = addr_from_ipv4(VIRTUAL, 80), .kind = CONFIG_SERVICE_PORT, .port = 5010 },
		{ .address = addr_from_ipv4(VIRTUAL, 8080), .kind = CONFIG_SERVICE_SAME },
	};
	int service = listen_on(SOCK_STREAM, 5010), same = listen_on(SOCK_STREAM, 8080),
	    http = listen_on(SOCK_STREAM, HTTP);

	serve(services, 2);
	redirect(3);
	gets(service, VIRTUAL, 80);
	gets(same, VIRTUAL, 8080);
	gets(http, IP(192, 0, 2, 2), 80);
	close(service);
	close(same);
	close(http);
}
END_TEST

START_TEST(a_flow_from_before_the_proxies_ends_with_its_next_packet)
{
	struct packet packet = syn(first_ip, ELSEWHERE, 80), out = passes(first, uplink, packet);

	passes(uplink, first, reply_to(&out, TH_SYN | TH_ACK));
	redirect(1);
	packet.tcp_flags = TH_ACK;
	packet.sequence++;
	packet.acknowledged = 501;
	is_denied(packet);
}
END_TEST

/* By then the slot sends with a TTL of 1, so that the packet does not come as far as to be denied. */
START_TEST(it_is_reset_too_where_it_can_not_be_forwarded_and_others_go_on)
{
	struct packet to_proxy = syn(first_ip, ELSEWHERE, 80), other = syn(first_ip, ELSEWHERE, 22);
	unsigned tracked;

	other.source_port++;
	struct packet out = passes(first, uplink, to_proxy);
	passes(uplink, first, reply_to(&out, TH_SYN | TH_ACK));
	out = passes(first, uplink, other);
	passes(uplink, first, reply_to(&out, TH_SYN | TH_ACK));
	redirect(1);
	OK(slot_flows_renew_outside(lab.config, &err));
	OK(kern_conntrack_count(-1, &tracked, &err));
	ck_assert_uint_eq(tracked, 1);
	to_proxy.ttl = 1;
	to_proxy.tcp_flags = other.tcp_flags = TH_ACK;
	to_proxy.sequence++;
	other.sequence++;
	to_proxy.acknowledged = other.acknowledged = 501;
	struct packet answer = passes(first, first, to_proxy);
	ck_assert(answer.tcp_flags & TH_RST);
	ck_assert_uint_eq(answer.source, ELSEWHERE);
	ck_assert_uint_eq(answer.source_port, 80);
	passes(first, uplink, other);
}
END_TEST

/* As `nft flush ruleset` beside another program's masquerading. A slot sends what is for a proxy with this TTL. */
START_TEST(without_the_table_nothing_passes_a_proxy_by)
{
	struct packet packet = syn(first_ip, ELSEWHERE, 80);
	int http = listen_on(SOCK_STREAM, HTTP);

	packet.ttl = 1;
	redirect(3);
	struct packet answer = passes(first, first, packet);
	ck_assert_uint_eq(answer.tcp_flags, TH_SYN | TH_ACK);
	lab_run("nft flush ruleset && nft add table ip other && nft add chain ip other post "
		"'{ type nat hook postrouting priority 100; }' && nft add rule ip other post masquerade");
	for (unsigned port = 0; port < 2; port++) {
		packet.source_port = (uint16_t)(packet.source_port + port); /* then a flow of its own */
		packet.tcp_flags = port ? TH_SYN : TH_ACK;
		lab_sends(first, &packet);
		ck_assert(lab_receives_nothing(uplink));
	}
	/* It is the TTL that holds them. */
	packet.ttl = 2;
	packet.source_port++;
	passes(first, uplink, packet);
	close(http);
}
END_TEST

int main(void)
{
	TCase *redirects = tcase_create("redirects");

	lab_require_root();
	tcase_add_checked_fixture(redirects, setup_with_table, NULL);
	tcase_set_timeout(redirects, 120);
	tcase_add_test(redirects, the_listing_can_be_loaded_again_and_is_then_still_intact);
	tcase_add_test(redirects, a_service_at_another_port_is_reached_at_an_address_of_nobody_s_and_at_the_host_s_own);
	tcase_add_test(redirects, what_weftd_forwards_comes_to_its_port_and_nothing_else_does);
	tcase_add_test(redirects, a_proxy_gets_the_tcp_for_its_ports_with_source_and_destination);
	tcase_add_test(redirects, a_proxy_gets_nothing_that_no_guest_may_reach);
	tcase_add_test(redirects, a_service_comes_before_the_proxies);
	tcase_add_test(redirects, a_flow_from_before_the_proxies_ends_with_its_next_packet);
	tcase_add_test(redirects, it_is_reset_too_where_it_can_not_be_forwarded_and_others_go_on);
	tcase_add_test(redirects, without_the_table_nothing_passes_a_proxy_by);
	Suite *suite = suite_create("nft_host_redirect");
	suite_add_tcase(suite, redirects);
	return run_suite(suite);
}
