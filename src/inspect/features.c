/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Neither a kernel's version nor its configuration file, which many hosts lack, shows its abilities, so they are tried. A
 * thread gets a network namespace of its own and tries there; both are gone when it ends.
 */
#include "inspect/inspect.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "kernel/rtnl.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

struct trial {
	char *missing;
	size_t size;
	int result;
	struct err err;
};

static void inspect_add_missing(struct trial *trial, const char *what, int code)
{
	size_t used = strlen(trial->missing);

	snprintf(trial->missing + used, trial->size - used, "%s%s: %s", used ? "; " : "", what, strerror(code));
}

/* Sends the messages in BUFFER and reads the kernel's answers. Returns 0, or an errno value. */
static int inspect_transact(const void *buffer, size_t length)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	char answer[8192];
	int code = 0;

	if (!socket)
		return errno;
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 || mnl_socket_sendto(socket, buffer, length) < 0) {
		code = errno;
	} else {
		ssize_t got = mnl_socket_recvfrom(socket, answer, sizeof(answer));
		if (got < 0 || mnl_cb_run(answer, (size_t)got, 0, 0, NULL, NULL) < 0)
			code = errno;
	}
	mnl_socket_close(socket);
	return code;
}

/* NULL: no memory. */
static struct nl_msg *inspect_build_veth(void)
{
	const struct ifinfomsg body = { 0 };
	struct nl_msg *message = kern_rtnl_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
	struct nlattr *info;

	message = kern_rtnl_put_string(message, IFLA_IFNAME, "weft-trial");
	if (!message)
		return NULL;
	info = nla_nest_start(message, IFLA_LINKINFO);
	if (info && nla_put_string(message, IFLA_INFO_KIND, "veth") == 0 && nla_nest_end(message, info) == 0)
		return message;
	nlmsg_free(message);
	return NULL;
}

static int inspect_try_veth(void)
{
	struct kern_rtnl rtnl;
	struct err err = { 0 };

	if (kern_rtnl_open(&rtnl, -1, NETLINK_ROUTE, &err) < 0)
		return err.code;
	int result = kern_rtnl_send(&rtnl, inspect_build_veth(), &err, "veth");
	kern_rtnl_close(&rtnl);
	return result < 0 ? err.code : 0;
}

static int inspect_try_tap(void)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	AUTO_FD int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno;
	strcpy(request.ifr_name, "weft-tap");
	return ioctl(fd, TUNSETIFF, &request) < 0 ? errno : 0;
}

static void inspect_add_expression(struct nftnl_rule *rule, const char *name, uint16_t register_type, uint16_t key_type,
				   uint32_t key)
{
	struct nftnl_expr *expr = nftnl_expr_alloc(name);

	if (!expr)
		return;
	nftnl_expr_set_u32(expr, register_type, NFT_REG_1);
	nftnl_expr_set_u32(expr, key_type, key);
	if (strcmp(name, "fib") == 0)
		nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF);
	nftnl_rule_add_expr(rule, expr);
}

static void inspect_put_table(struct mnl_nlmsg_batch *batch, uint32_t *sequence)
{
	struct nftnl_table *table = nftnl_table_alloc();

	nftnl_table_set_str(table, NFTNL_TABLE_NAME, "weft-trial");
	struct nlmsghdr *message = nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(batch), NFT_MSG_NEWTABLE, NFPROTO_INET,
							 NLM_F_CREATE, (*sequence)++);
	nftnl_table_nlmsg_build_payload(message, table);
	mnl_nlmsg_batch_next(batch);
	nftnl_table_free(table);
}

static void inspect_put_chain(struct mnl_nlmsg_batch *batch, uint32_t *sequence, const char *type, uint32_t hook)
{
	struct nftnl_chain *chain = nftnl_chain_alloc();

	nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, "weft-trial");
	nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, type);
	nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, type);
	nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, hook);
	nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, 0);
	struct nlmsghdr *message = nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(batch), NFT_MSG_NEWCHAIN, NFPROTO_INET,
							 NLM_F_CREATE, (*sequence)++);
	nftnl_chain_nlmsg_build_payload(message, chain);
	mnl_nlmsg_batch_next(batch);
	nftnl_chain_free(chain);
}

/* `fib saddr . iif oif` and `ct state`, the expressions that our tables cannot do without. */
static void inspect_put_rule(struct mnl_nlmsg_batch *batch, uint32_t *sequence)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();

	nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, NFPROTO_INET);
	nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, "weft-trial");
	nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, "filter");
	inspect_add_expression(rule, "fib", NFTNL_EXPR_FIB_DREG, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_OIF);
	inspect_add_expression(rule, "ct", NFTNL_EXPR_CT_DREG, NFTNL_EXPR_CT_KEY, NFT_CT_STATE);
	struct nlmsghdr *message = nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(batch), NFT_MSG_NEWRULE, NFPROTO_INET,
							 NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK, (*sequence)++);
	nftnl_rule_nlmsg_build_payload(message, rule);
	mnl_nlmsg_batch_next(batch);
	nftnl_rule_free(rule);
}

static int inspect_try_nft(void)
{
	char buffer[8192];
	uint32_t sequence = 1;
	struct mnl_nlmsg_batch *batch = mnl_nlmsg_batch_start(buffer, sizeof(buffer));

	if (!batch)
		return ENOMEM;
	nftnl_batch_begin(mnl_nlmsg_batch_current(batch), sequence++);
	mnl_nlmsg_batch_next(batch);
	inspect_put_table(batch, &sequence);
	inspect_put_chain(batch, &sequence, "filter", NF_INET_PRE_ROUTING);
	inspect_put_chain(batch, &sequence, "nat", NF_INET_PRE_ROUTING);
	inspect_put_rule(batch, &sequence);
	nftnl_batch_end(mnl_nlmsg_batch_current(batch), sequence++);
	mnl_nlmsg_batch_next(batch);
	int code = inspect_transact(mnl_nlmsg_batch_head(batch), mnl_nlmsg_batch_size(batch));
	mnl_nlmsg_batch_stop(batch);
	return code;
}

static void *inspect_run_trial(void *context)
{
	static const struct {
		const char *what;
		int (*run)(void);
	} trials[] = {
		{ "veth", inspect_try_veth },
		{ "TAP (/dev/net/tun)", inspect_try_tap },
		{ "nftables with nat, fib and ct", inspect_try_nft },
	};
	struct trial *trial = context;

	if (unshare(CLONE_NEWNET) < 0) {
		trial->result = err_set(&trial->err, errno, "a network namespace");
		return NULL;
	}
	for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
		int code = trials[i].run();
		if (code)
			inspect_add_missing(trial, trials[i].what, code);
	}
	return NULL;
}

int inspect_features(char *missing, size_t size, struct err *err)
{
	struct trial trial = { .missing = missing, .size = size };
	pthread_t thread;

	missing[0] = '\0';
	int code = pthread_create(&thread, NULL, inspect_run_trial, &trial);
	if (code)
		return err_set(err, code, "a thread");
	pthread_join(thread, NULL);
	if (trial.result < 0)
		*err = trial.err;
	return trial.result;
}
