/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a slot's tables: counters, denials, and whether a destination may be reached. The last follows the rules of chain
 * guest_egress in their order, but asks the kernel, not the configuration, for the contents of its sets.
 */
#include "fabric/rules/slot_rules.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "config/config.h"
#include "fabric/rules/policy.h"
#include "fabric/rules/rules.h"
#include "nft/read.h"

#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* ---- Counters ---- */

struct slot_counter_reader {
	struct fabric_counts counts;
	bool found;
};

static bool rules_begins_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

static void rules_slot_take_counter(void *context, const char *name, uint64_t packets, uint64_t bytes)
{
	struct slot_counter_reader *reader = context;
	struct fabric_counts *counts = &reader->counts;
	enum fabric_rule rule;

	reader->found = true;
	if (strcmp(name, "to_guest") == 0) {
		counts->bytes_to_guest = bytes;
		counts->packets_to_guest = packets;
	} else if (strcmp(name, "from_guest") == 0) {
		counts->bytes_from_guest = bytes;
		counts->packets_from_guest = packets;
	} else if (strcmp(name, "connections") == 0) {
		counts->connections = packets;
	} else {
		if (rules_begins_with(name, "drop_") || rules_begins_with(name, "denied_"))
			counts->drops += packets;
		if (rules_of_counter(name, &rule))
			counts->denied[rule] += packets;
	}
}

int rules_slot_counts(int netns_fd, struct fabric_counts *counts, struct err *err)
{
	struct slot_counter_reader reader;
	int status = -1;

	for (unsigned i = 0; status < 0 && i < NFT_ATTEMPTS; i++) {
		reader = (struct slot_counter_reader){ .counts.slot = counts->slot };
		status = nft_read_counters(netns_fd, rules_slot_take_counter, &reader, err);
		if (status < 0 && err->code != EINTR)
			break;
	}
	if (status < 0)
		return -1;
	if (!reader.found)
		return err_set(err, ENOENT, "counters: table %s", NFT_TABLE_NAME);
	*counts = reader.counts;
	return 0;
}

int rules_slot_activity(int netns_fd, uint64_t *packets, struct err *err)
{
	return nft_read_counter(netns_fd, NFPROTO_INET, RULES_COUNTER_ACTIVE, packets, err);
}

/* ---- Generation ---- */

static int rules_take_generation(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *attr;
	uint32_t *generation = data;

	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) == NFTA_GEN_ID)
			*generation = be32toh(mnl_attr_get_u32(attr));
	}
	return MNL_CB_OK;
}

int rules_generation(int netns_fd, uint32_t *generation, struct err *err)
{
	char buffer[64] __attribute__((aligned(NLMSG_ALIGNTO)));
	AUTO_FD int fd = nft_socket(netns_fd, err);

	if (fd < 0)
		return -1;
	*generation = 0;
	if (nft_ask(fd, nft_request(buffer, NFT_MSG_GETGEN, AF_UNSPEC, 0), rules_take_generation, generation, err) < 0)
		return err_wrap(err, "generation of the ruleset");
	if (!*generation)
		return err_set(err, EBADMSG, "generation of the ruleset");
	return 0;
}

/* ---- Denials ---- */

struct slot_denial_reader {
	void (*report)(void *context, const struct fabric_denial *denial);
	void *context;
	uint64_t now_ms, since_ms;
};

static void rules_slot_report_denial(void *context, const struct nft_read_element *read)
{
	struct slot_denial_reader *reader = context;
	uint64_t age = RULES_DENIAL_KEPT_MS > read->remaining_ms ? RULES_DENIAL_KEPT_MS - read->remaining_ms : 0;
	struct fabric_denial denial = { .destination = read->element.first, .port = read->element.port };

	if (reader->now_ms - age <= reader->since_ms)
		return;
	snprintf(denial.rule, sizeof(denial.rule), "%s", rules_denial_name(read->mark));
	rules_denial_name_proto(&denial, read->element.proto);
	reader->report(reader->context, &denial);
}

int rules_slot_denials(int netns_fd, uint64_t *since_ms,
		       void (*report)(void *context, const struct fabric_denial *denial), void *context,
		       struct err *err)
{
	struct slot_denial_reader reader = { report, context, clock_now_ms(), *since_ms };
	const struct nft_set *sets[] = { &set_denied_ports, &set_denied_protocols };

	/* Rules that add to a set do not interrupt its dump. A batch does, and then the next reading has it all. */
	for (size_t i = 0; i < 2; i++)
		if (nft_read_elements(netns_fd, NFPROTO_INET, sets[i], rules_slot_report_denial, &reader, err) < 0)
			return err->code == EINTR ? 0 : err_wrap(err, "denials");
	*since_ms = reader.now_ms > RULES_DENIAL_SLACK_MS ? reader.now_ms - RULES_DENIAL_SLACK_MS : 0;
	return 0;
}

/* ---- Reach ---- */

struct reach_question {
	const struct config *config;
	int fd;
	struct nft_element element;
	struct fabric_reach *reach;
	struct err *err;
	bool failed;
};

static void rules_reach_answer(struct reach_question *question, bool allowed, const char *rule)
{
	question->reach->allowed = allowed;
	snprintf(question->reach->rule, sizeof(question->reach->rule), "%s", rule);
}

/* Writes "SET FIRST-LAST", or "SET FIRST" for a single address. */
static void rules_reach_name_element(struct fabric_reach *reach, const struct nft_set *set,
				     const struct nft_range *range)
{
	char first[IPV4_TEXT_SIZE], last[IPV4_TEXT_SIZE];

	if (range->first == range->last)
		snprintf(reach->set, sizeof(reach->set), "%s %s", set->name, addr_ipv4_format(range->first, first));
	else
		snprintf(reach->set, sizeof(reach->set), "%s %s-%s", set->name, addr_ipv4_format(range->first, first),
			 addr_ipv4_format(range->last, last));
}

/* Whether SET holds the destination. If so, the answer names it. */
static bool rules_reach_is_in(struct reach_question *question, const struct nft_set *set)
{
	struct nft_range range;

	if (question->failed)
		return false;
	int found = nft_read_find(question->fd, NFPROTO_INET, set, &question->element, &range, question->err);
	if (found < 0)
		question->failed = true;
	if (found <= 0)
		return false;
	rules_reach_name_element(question->reach, set, &range);
	return true;
}

/* Looks in the sets of a list from kind FIRST on, below END. The lists of a policy are on one side; the other has no sets. */
static bool rules_reach_is_in_list(struct reach_question *question,
				   const struct nft_set sets[RULES_POLICY_SIDES][RULES_POLICY_SETS], size_t first,
				   size_t end)
{
	for (unsigned side = 0; side < RULES_POLICY_SIDES; side++)
		for (size_t i = first; i < end; i++)
			if (rules_reach_is_in(question, &sets[side][i]))
				return true;
	return false;
}

struct reach_counter {
	const char *name;
	bool found;
};

static int rules_reach_find_counter(const struct nlmsghdr *message, void *data)
{
	struct reach_counter *counter = data;
	const char *at = (const char *)message;

	/* The rule is known by the counter's name, which nothing else in the chain contains. */
	counter->found |= memmem(at, message->nlmsg_len, counter->name, strlen(counter->name)) != NULL;
	return MNL_CB_OK;
}

/* Whether CHAIN has a rule with COUNTER. */
static bool rules_reach_counts(struct reach_question *question, const char *chain, const char *counter)
{
	char buffer[256] __attribute__((aligned(NLMSG_ALIGNTO)));

	for (unsigned i = 0; i < NFT_ATTEMPTS && !question->failed; i++) {
		struct nlmsghdr *request = nft_request(buffer, NFT_MSG_GETRULE, NFPROTO_INET, NLM_F_DUMP);
		struct reach_counter wanted = { .name = counter };

		mnl_attr_put_strz(request, NFTA_RULE_TABLE, NFT_TABLE_NAME);
		mnl_attr_put_strz(request, NFTA_RULE_CHAIN, chain);
		if (nft_ask(question->fd, request, rules_reach_find_counter, &wanted, question->err) == 0)
			return wanted.found;
		question->failed = question->err->code != EINTR;
	}
	question->failed = true;
	return false;
}

static bool rules_reach_is_usual(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_ICMP;
}

static bool rules_reach_is_allowed(struct reach_question *question)
{
	return rules_reach_is_in_list(question, set_policy_allow, 1, RULES_POLICY_SETS) ||
	       (rules_reach_is_usual(question->element.proto) &&
		rules_reach_is_in_list(question, set_policy_allow, 0, 1));
}

/* Whether the rule that isolates the sandbox is in its place. */
static bool rules_reach_is_isolated(struct reach_question *question)
{
	return rules_reach_counts(question, RULES_CHAIN_EGRESS, RULES_COUNTER_ISOLATED);
}

/* Whether the policy's chain ends with the rule that denies everything else. */
static bool rules_reach_is_without_internet(struct reach_question *question)
{
	return rules_reach_counts(question, RULES_CHAIN_POLICY, RULES_COUNTER_INTERNET);
}

/* Whether a service of the host gets it; the answer then names its entry, which tells where that listens. */
static bool rules_reach_is_service(struct reach_question *question)
{
	const struct addr asked = addr_from_ipv4(question->element.first, question->element.port);
	char text[CONFIG_SERVICE_TEXT_SIZE];

	if (!rules_reach_is_in(question, &set_host_services))
		return false;
	const struct config_service *service = config_service_find(question->config, &asked);
	if (service)
		snprintf(question->reach->set, sizeof(question->reach->set), "allow_host %s",
			 config_service_format(service, text));
	return true;
}

/* Whether the host hands it to a proxy, which the answer then names. Such rules have no set. */
static bool rules_reach_is_redirected(const struct reach_question *question)
{
	const struct config_redirect *redirect = question->element.proto == IPPROTO_TCP
						     ? config_redirect_find(question->config, question->element.port)
						     : NULL;
	char text[CONFIG_REDIRECT_TEXT_SIZE];

	if (redirect)
		snprintf(question->reach->set, sizeof(question->reach->set), "redirect %s",
			 config_redirect_format(redirect, text));
	return redirect != NULL;
}

/* Follows the rules of chain guest_egress in their order. */
static void rules_reach_judge(struct reach_question *question)
{
	bool opened = false;

	if (rules_reach_is_isolated(question))
		rules_reach_answer(question, false, "isolated");
	else if (rules_reach_is_in(question, &set_dns))
		rules_reach_answer(question, true, "dns");
	else if (rules_reach_is_service(question))
		rules_reach_answer(question, true, "allow_host");
	else if (rules_reach_is_in(question, &set_sandbox_ranges))
		rules_reach_answer(question, false, "sandbox");
	else if (rules_reach_is_in(question, &set_always_denied) &&
		 !(opened = rules_reach_is_in(question, &set_opened)))
		rules_reach_answer(question, false, "private");
	else if (rules_reach_is_redirected(question))
		rules_reach_answer(question, true, "redirect");
	else if (rules_reach_is_allowed(question))
		rules_reach_answer(question, true, "allow");
	else if (!rules_reach_is_usual(question->element.proto)) {
		question->reach->set[0] = '\0';
		rules_reach_answer(question, false, "protocol");
	} else if (rules_reach_is_in_list(question, set_policy_deny, 0, RULES_POLICY_SETS))
		rules_reach_answer(question, false, "deny");
	else if (rules_reach_is_without_internet(question)) {
		question->reach->set[0] = '\0';
		rules_reach_answer(question, false, "internet");
	} else
		rules_reach_answer(question, true, opened ? "open" : "internet");
}

int rules_slot_reach(int netns_fd, const struct config *config, const struct config_layout *layout,
		     uint32_t destination, uint8_t ip_proto, uint16_t port, struct fabric_reach *reach, struct err *err)
{
	struct reach_question question = {
		.config = config,
		.element = { .first = destination, .last = destination, .proto = ip_proto, .port = port },
		.reach = reach,
		.err = err,
	};

	*reach = (struct fabric_reach){ 0 };
	if (destination == layout->tap.ip) {
		rules_reach_answer(&question, false, "gateway");
		return 0;
	}
	AUTO_FD int fd = nft_socket(netns_fd, err);
	if (fd < 0)
		return -1;
	question.fd = fd;
	if (!nft_read_has_table(fd, NFPROTO_INET, err))
		return err_wrap(err, "table %s", NFT_TABLE_NAME);
	rules_reach_judge(&question);
	return question.failed ? err_wrap(err, "reach") : 0;
}
