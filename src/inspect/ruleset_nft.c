/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads nftables into the model: first which tables are dormant, then all chains, then all rules, then the sets that rules look
 * into. A change of the ruleset meanwhile makes the reading begin again.
 */
#include "inspect/ruleset_nft.h"
#include "inspect/ruleset.h"

#include "base/err.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

enum { DUMP_TRIES = 5 };

static const char *inspect_ruleset_nft_family_name(uint32_t family)
{
	return family == NFPROTO_IPV4 ? "ip" : family == NFPROTO_INET ? "inet" : NULL;
}

static void inspect_ruleset_nft_copy_name(char *name, const char *text)
{
	snprintf(name, RULESET_NAME_SIZE, "%.63s", text ? text : "");
}

/* A foreign table may have that name in another family. */
static bool inspect_ruleset_nft_is_wefts(const char *family, const char *table)
{
	return table && strcmp(table, "weft") == 0 && strcmp(family, "inet") == 0;
}

/* ---- Tables ---- */

/* 0, or -1 with errno. */
static int inspect_ruleset_nft_add_dormant(struct ruleset *ruleset, const struct nftnl_table *table)
{
	const char *family = inspect_ruleset_nft_family_name(nftnl_table_get_u32(table, NFTNL_TABLE_FAMILY));

	if (!family || !(nftnl_table_get_u32(table, NFTNL_TABLE_FLAGS) & NFT_TABLE_F_DORMANT))
		return 0;
	struct ruleset_dormant *added = vec_push(&ruleset->dormant);
	if (!added) {
		errno = ENOMEM;
		return -1;
	}
	snprintf(added->family, sizeof(added->family), "%s", family);
	inspect_ruleset_nft_copy_name(added->table, nftnl_table_get_str(table, NFTNL_TABLE_NAME));
	return 0;
}

static int inspect_ruleset_nft_take_table(const struct nlmsghdr *message, void *data)
{
	struct nftnl_table *table = nftnl_table_alloc();

	if (!table)
		return MNL_CB_ERROR;
	int result = nftnl_table_nlmsg_parse(message, table);
	if (result == 0)
		result = inspect_ruleset_nft_add_dormant(data, table);
	nftnl_table_free(table);
	return result == 0 ? MNL_CB_OK : MNL_CB_ERROR;
}

static bool inspect_ruleset_nft_is_dormant(const struct ruleset *ruleset, const struct ruleset_chain *chain)
{
	for (size_t i = 0; i < ruleset->dormant.count; i++)
		if (strcmp(ruleset->dormant.items[i].family, chain->family) == 0 &&
		    strcmp(ruleset->dormant.items[i].table, chain->table) == 0)
			return true;
	return false;
}

/* ---- Chains ---- */

/* Reads the hook of a base chain, and its policy there. */
static void inspect_ruleset_nft_read_hook(const struct nftnl_chain *chain, struct ruleset_chain *added)
{
	uint32_t hook = nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM);
	const char *type = nftnl_chain_get_str(chain, NFTNL_CHAIN_TYPE);

	if (!nftnl_chain_is_set(chain, NFTNL_CHAIN_HOOKNUM))
		return;
	added->hook = hook <= NF_INET_POST_ROUTING ? (enum ruleset_hook)hook : HOOK_NONE;
	added->priority = nftnl_chain_get_s32(chain, NFTNL_CHAIN_PRIO);
	added->drops = nftnl_chain_get_u32(chain, NFTNL_CHAIN_POLICY) == NF_DROP;
	snprintf(added->type, sizeof(added->type), "%.15s", type ? type : "");
}

/* 0, or -1 with errno. A chain of another family, or of weft's own, is skipped. */
static int inspect_ruleset_nft_add_chain(struct ruleset *ruleset, const struct nftnl_chain *chain)
{
	const char *family = inspect_ruleset_nft_family_name(nftnl_chain_get_u32(chain, NFTNL_CHAIN_FAMILY));
	const char *table = nftnl_chain_get_str(chain, NFTNL_CHAIN_TABLE);

	if (!family || inspect_ruleset_nft_is_wefts(family, table))
		return 0;
	struct ruleset_chain *added = inspect_ruleset_add_chain(ruleset);
	if (!added) {
		errno = ENOMEM;
		return -1;
	}
	snprintf(added->family, sizeof(added->family), "%s", family);
	inspect_ruleset_nft_copy_name(added->table, table);
	inspect_ruleset_nft_copy_name(added->name, nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME));
	if (!inspect_ruleset_nft_is_dormant(ruleset, added))
		inspect_ruleset_nft_read_hook(chain, added);
	return 0;
}

static int inspect_ruleset_nft_take_chain(const struct nlmsghdr *message, void *data)
{
	struct nftnl_chain *chain = nftnl_chain_alloc();

	if (!chain)
		return MNL_CB_ERROR;
	int result = nftnl_chain_nlmsg_parse(message, chain);
	if (result == 0)
		result = inspect_ruleset_nft_add_chain(data, chain);
	nftnl_chain_free(chain);
	return result == 0 ? MNL_CB_OK : MNL_CB_ERROR;
}

/* ---- Rules ---- */

/* Rules come chain by chain, so the chain of the rule before (LAST; NULL) is the likeliest. */
static struct ruleset_chain *inspect_ruleset_nft_chain_of(struct ruleset *ruleset, const struct nftnl_rule *rule,
							  struct ruleset_chain *last)
{
	struct ruleset_chain beside = { 0 };
	const char *family = inspect_ruleset_nft_family_name(nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY));
	const char *name = nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN);

	if (!family || !name)
		return NULL;
	snprintf(beside.family, sizeof(beside.family), "%s", family);
	inspect_ruleset_nft_copy_name(beside.table, nftnl_rule_get_str(rule, NFTNL_RULE_TABLE));
	if (last && strcmp(last->name, name) == 0 && strcmp(last->table, beside.table) == 0 &&
	    strcmp(last->family, family) == 0)
		return last;
	return (struct ruleset_chain *)inspect_ruleset_find(ruleset, &beside, name);
}

/* 0, or -1 without memory. */
static int inspect_ruleset_nft_add_rule(struct ruleset *ruleset, struct ruleset_chain *chain,
					const struct nftnl_rule *rule)
{
	struct ruleset_rule *added = inspect_ruleset_add_rule(chain);

	if (!added)
		return -1;
	added->handle = nftnl_rule_get_u64(rule, NFTNL_RULE_HANDLE);
	inspect_expr_read_rule(ruleset, chain, rule, added);
	return added->incomplete ? -1 : 0;
}

struct taking {
	struct ruleset *ruleset;
	struct ruleset_chain *last; /* NULL: none yet */
};

static int inspect_ruleset_nft_take_rule(const struct nlmsghdr *message, void *data)
{
	struct taking *taking = data;
	struct nftnl_rule *rule = nftnl_rule_alloc();
	struct ruleset_chain *chain = NULL;
	int added = 0;

	if (!rule)
		return MNL_CB_ERROR;
	int parsed = nftnl_rule_nlmsg_parse(message, rule);
	if (parsed == 0)
		chain = inspect_ruleset_nft_chain_of(taking->ruleset, rule, taking->last);
	if (chain) {
		added = inspect_ruleset_nft_add_rule(taking->ruleset, chain, rule);
		taking->last = chain;
	}
	nftnl_rule_free(rule);
	if (added < 0)
		errno = ENOMEM;
	return parsed == 0 && added == 0 ? MNL_CB_OK : MNL_CB_ERROR;
}

/* ---- All of them ---- */

/* 0, or -1 with errno; EINTR: the ruleset changed meanwhile. */
static int inspect_ruleset_nft_dump(struct mnl_socket *socket, uint16_t type, mnl_cb_t take, void *context)
{
	char buffer[1 << 16];
	int result = 1;
	struct nlmsghdr *message = nftnl_nlmsg_build_hdr(buffer, type, NFPROTO_UNSPEC, NLM_F_DUMP, type + 1u);

	if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
		return -1;
	while (result > 0) {
		ssize_t length = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
		if (length < 0)
			return -1;
		result = mnl_cb_run(buffer, (size_t)length, type + 1u, mnl_socket_get_portid(socket), take, context);
	}
	return result;
}

static int inspect_ruleset_nft_read_once(struct ruleset *ruleset, struct err *err)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	struct taking taking = { .ruleset = ruleset };
	int result;

	if (!socket)
		return err_set(err, errno, "a netlink socket");
	result = mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID);
	if (result == 0)
		result = inspect_ruleset_nft_dump(socket, NFT_MSG_GETTABLE, inspect_ruleset_nft_take_table, ruleset);
	if (result == 0)
		result = inspect_ruleset_nft_dump(socket, NFT_MSG_GETCHAIN, inspect_ruleset_nft_take_chain, ruleset);
	if (result == 0)
		result = inspect_ruleset_nft_dump(socket, NFT_MSG_GETRULE, inspect_ruleset_nft_take_rule, &taking);
	if (result == 0)
		result = inspect_set_read_all(socket, ruleset);
	if (result < 0)
		err_set(err, errno, "reading the nftables ruleset");
	mnl_socket_close(socket);
	return result;
}

int inspect_ruleset_read(struct ruleset *ruleset, struct err *err)
{
	int result = -1;

	*ruleset = (struct ruleset){ 0 };
	for (int tries = 0; result < 0 && tries < DUMP_TRIES; tries++) {
		inspect_ruleset_clear(ruleset);
		result = inspect_ruleset_nft_read_once(ruleset, err);
		if (result < 0 && err->code != EINTR)
			break;
	}
	if (result == 0)
		result = inspect_ruleset_read_legacy(ruleset, err);
	if (result < 0)
		inspect_ruleset_clear(ruleset);
	return result;
}
