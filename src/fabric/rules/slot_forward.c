/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What passes through a slot's namespace: chain forward of its table, and the count of packets that show the sandbox in use.
 *
 * While a sandbox is paused, TCP of the flows that its guest had before is answered with ICMP host unreachable. That does not end the
 * connection. A retransmission that is answered so does not lengthen the sender's wait for the next one (RFC 6069). So the sender tries each
 * second or two, and gets through that soon after the resume. A flow that begins during the pause is not answered so: the guest may run
 * again before these rules are gone, and a client that connects would take the error for the end. Such a flow gets a conntrack mark, with
 * the number of this sleep, so that in the next sleep it counts among the former ones. A segment from the middle of a
 * connection, which conntrack may take for a beginning, gets none. (To mark the flows that are there instead would take a walk through the
 * table of all flows of the machine.)
 *
 * A slot is strict after a resume that forgot its guest's flows. Conntrack alone would take the next packet of such a flow for the first of
 * a new one, and the connection would go on. Nobody can reset it before that packet comes, because nobody knows its sequence numbers. So
 * whichever end sends next, client or guest, gets a reset with the numbers of its own segment. To conntrack a FIN begins no flow, and is
 * invalid.
 */
#include "fabric/rules/slot_rules.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "config/config.h"
#include "fabric/rules/policy.h"
#include "fabric/rules/rules.h"
#include "nft/expr.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <string.h>

#define CHAIN "forward"

enum {
	/* Answers a second for a guest that sleeps. What comes beyond that is dropped. */
	ANSWERS = 1000,
	/* A longer TCP segment has payload, or acknowledges selectively, as only a receiver of payload does. In bytes, with the IP header. */
	BARE_SEGMENT = 60,
	NTP_PORT = 123,
};

/*
 * In a rule: matches what clients send on connections that a guest had when it was paused. A SYN among it is of a client that has forgotten
 * the former connection and wants another, to whom the answer would be the end. A reset is sent once, and nobody waits for its answer.
 */
static void rules_forward_match_held(struct nft_batch *batch, uint32_t sleep)
{
	match_iifname(batch, RULES_UPWARDS);
	match_ct_mark(batch, NFT_IS_NOT, sleep);
	match_ct_state(batch, NFT_CT_STATE_ESTABLISHED);
	match_tcp_amid(batch);
}

static void rules_forward_add_state(struct nft_batch *batch, const struct fabric_plan *plan)
{
	/* 0 will not do: it is the mark of a flow that was never marked. */
	const uint32_t sleep = plan->sleep ? plan->sleep : 1;

	if (plan->paused) {
		RULE(batch, CHAIN, match_ct_state(batch, NFT_CT_STATE_NEW), match_tcp_first(batch, NFT_IS),
		     act_mark_flow(batch, sleep));
		RULE(batch, CHAIN, match_ct_state(batch, NFT_CT_STATE_NEW), match_l4proto(batch, NFT_IS, IPPROTO_UDP),
		     act_mark_flow(batch, sleep));
		RULE(batch, CHAIN, rules_forward_match_held(batch, sleep), match_packets_under(batch, ANSWERS, ANSWERS),
		     act_reject_as_unreachable(batch));
		RULE(batch, CHAIN, rules_forward_match_held(batch, sleep), verdict_drop(batch));
	}
	if (plan->strict) {
		RULE(batch, CHAIN, match_ct_state(batch, NFT_CT_STATE_NEW), match_tcp_first(batch, NFT_IS_NOT),
		     act_reject_with_reset(batch));
		RULE(batch, CHAIN, match_ct_state(batch, NFT_CT_STATE_INVALID), match_tcp_fin(batch),
		     act_reject_with_reset(batch));
	}
}

/* Fills the empty chain. */
static void rules_forward_fill(struct nft_batch *batch, const struct config *config, const struct fabric_plan *plan)
{
	const struct config_layout *layout = config_layout_or_new(config, plan->layout);

	rules_forward_add_state(batch, plan);
	RULE(batch, CHAIN, match_tcp_syn(batch), act_clamp_mss(batch));
	RULE(batch, CHAIN, match_iifname(batch, RULES_TAP), match_ct_direction(batch, IP_CT_DIR_ORIGINAL),
	     verdict_goto(batch, RULES_CHAIN_EGRESS));
	RULE(batch, CHAIN, match_ct_state(batch, NFT_CT_STATE_ESTABLISHED | NFT_CT_STATE_RELATED),
	     verdict_accept(batch));
	RULE(batch, CHAIN, match_iifname(batch, RULES_UPWARDS), match_ip_daddr(batch, NFT_IS, layout->guest.ip),
	     match_ct_dnat(batch), verdict_accept(batch));
	RULE(batch, CHAIN, act_count(batch, "drop_forward"), verdict_drop(batch));
}

/*
 * Counts what was let through, in a chain behind the other one. A guest asks for names and for the time without anybody's doing, so that and
 * the answers are left out. A keystroke's segment is no longer than a bare one may be, and is told by its flag PSH.
 */
static void rules_forward_add_activity(struct nft_batch *batch, uint32_t guest)
{
	static const struct nft_hook hook = { NFT_CHAIN_FILTER, NF_INET_FORWARD, NF_IP_PRI_FILTER + 10, false, NULL };
	static const uint16_t of_its_own[] = { RULES_DNS_PORT, NTP_PORT };

	nft_chain_add(batch, "active_datagrams", NULL, NULL);
	for (size_t i = 0; i < sizeof(of_its_own) / sizeof(of_its_own[0]); i++)
		RULE(batch, "active_datagrams", match_l4proto(batch, NFT_IS, IPPROTO_UDP),
		     match_ct_original_dport(batch, of_its_own[i]), match_ct_original_saddr(batch, guest),
		     verdict_accept(batch));
	RULE(batch, "active_datagrams", act_count(batch, RULES_COUNTER_ACTIVE));

	nft_chain_add(batch, "activity", &hook, NULL);
	RULE(batch, "activity", match_tcp_push(batch), act_count(batch, RULES_COUNTER_ACTIVE), verdict_accept(batch));
	RULE(batch, "activity", match_l4proto(batch, NFT_IS, IPPROTO_TCP), match_length_over(batch, BARE_SEGMENT),
	     act_count(batch, RULES_COUNTER_ACTIVE));
	RULE(batch, "activity", match_l4proto(batch, NFT_IS, IPPROTO_UDP), verdict_goto(batch, "active_datagrams"));
}

void rules_forward_add(struct nft_batch *batch, const struct config *config, const struct fabric_plan *plan)
{
	static const struct nft_hook hook = { NFT_CHAIN_FILTER, NF_INET_FORWARD, NF_IP_PRI_FILTER, true, NULL };

	nft_chain_add(batch, CHAIN, &hook, NULL);
	rules_forward_fill(batch, config, plan);
	rules_forward_add_activity(batch, config_layout_or_new(config, plan->layout)->guest.ip);
}

/* ---- The number of a sleep ---- */

/* The value that EXPRESSIONS load, if they are those of a rule that marks flows; 0: they are not. */
static uint32_t rules_forward_mark_of(const struct nlattr *expressions)
{
	const struct nlattr *item, *attr, *data, *value;
	uint32_t loaded = 0;

	nft_for_each_nested(item, expressions)
	{
		const char *name = "";

		nft_for_each_nested(attr, item)
		{
			if (mnl_attr_get_type(attr) == NFTA_EXPR_NAME)
				name = mnl_attr_get_str(attr);
			if (mnl_attr_get_type(attr) != NFTA_EXPR_DATA || strcmp(name, "immediate") != 0)
				continue;
			nft_for_each_nested(data, attr)
			{
				if (mnl_attr_get_type(data) != NFTA_IMMEDIATE_DATA)
					continue;
				nft_for_each_nested(value, data)
				{
					if (mnl_attr_get_type(value) == NFTA_DATA_VALUE &&
					    mnl_attr_get_payload_len(value) == sizeof(loaded))
						memcpy(&loaded, mnl_attr_get_payload(value), sizeof(loaded));
				}
			}
		}
	}
	return loaded;
}

static int rules_forward_take_rule(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *attr;
	uint32_t *sleep = data;

	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) == NFTA_RULE_EXPRESSIONS && !*sleep)
			*sleep = rules_forward_mark_of(attr);
	}
	return MNL_CB_OK;
}

int rules_forward_read_sleep(int netns_fd, uint32_t *sleep, struct err *err)
{
	char buffer[256] __attribute__((aligned(NLMSG_ALIGNTO)));
	AUTO_FD int fd = nft_socket(netns_fd, err);
	int status = -1;

	for (unsigned i = 0; fd >= 0 && status < 0 && i < NFT_ATTEMPTS; i++) {
		struct nlmsghdr *request = nft_request(buffer, NFT_MSG_GETRULE, NFPROTO_INET, NLM_F_DUMP);

		*sleep = 0;
		mnl_attr_put_strz(request, NFTA_RULE_TABLE, NFT_TABLE_NAME);
		mnl_attr_put_strz(request, NFTA_RULE_CHAIN, CHAIN);
		status = nft_ask(fd, request, rules_forward_take_rule, sleep, err);
		if (status < 0 && err->code != EINTR)
			break;
	}
	return status < 0 && err->code != ENOENT ? -1 : 0;
}

int rules_slot_turn(int netns_fd, const struct config *config, const struct fabric_plan *plan, struct err *err)
{
	struct nft_batch batch;

	nft_batch_begin(&batch, NFPROTO_INET);
	nft_chain_flush(&batch, CHAIN);
	rules_forward_fill(&batch, config, plan);
	int status = nft_batch_send(&batch, netns_fd, err);
	nft_batch_free(&batch);
	return status < 0 ? err_wrap(err, "rules of slot %u", plan->slot) : 0;
}
