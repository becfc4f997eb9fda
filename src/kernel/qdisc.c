/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A token bucket filter as the link's root: packets wait for tokens, at most for what LATENCY_MS worth of the rate amounts to,
 * and are dropped beyond. The 64 bit attributes are used throughout: the old ones end at 4 GB/s and count in clock ticks.
 */
#include "kernel/qdisc.h"

#include "base/err.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdint.h>

enum { LATENCY_MS = 50, BURST_MS = 10, ROOT_HANDLE = 0x10000 };

static struct tcmsg *begin(struct rtnl_request *request, uint16_t type, unsigned flags, int index)
{
	struct tcmsg *message = rtnl_begin(request, type, flags, sizeof(*message));

	message->tcm_ifindex = index;
	message->tcm_parent = TC_H_ROOT;
	return message;
}

static int remove_limit(struct rtnl *rtnl, int index, const char *name, struct err *err)
{
	struct rtnl_request request;

	begin(&request, RTM_DELQDISC, 0, index);
	if (rtnl_send(rtnl, &request, err, "link %s: removing its rate limit", name) == 0)
		return 0;
	/* What the kernel put there by itself cannot be removed, and is no limit. */
	return err->code == ENOENT || err->code == EINVAL ? 0 : -1;
}

static uint32_t clamp32(uint64_t value)
{
	return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

int qdisc_limit(struct rtnl *rtnl, int index, const char *name, const struct rate *rate, unsigned mtu, struct err *err)
{
	struct tc_tbf_qopt options = { 0 };
	struct rtnl_request request;
	struct nlattr *nest;
	uint64_t burst = rate->burst ? rate->burst : rate->rate / 1000 * BURST_MS;

	if (!rate->rate)
		return remove_limit(rtnl, index, name, err);
	if (burst < mtu + ETH_HLEN)
		burst = mtu + ETH_HLEN;
	begin(&request, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, index)->tcm_handle = ROOT_HANDLE;
	mnl_attr_put_strz(request.header, TCA_KIND, "tbf");
	options.rate.linklayer = TC_LINKLAYER_ETHERNET;
	options.rate.rate = clamp32(rate->rate);
	options.limit = clamp32(rate->rate / 1000 * LATENCY_MS + burst);
	nest = mnl_attr_nest_start(request.header, TCA_OPTIONS);
	mnl_attr_put(request.header, TCA_TBF_PARMS, sizeof(options), &options);
	if (rate->rate > UINT32_MAX)
		mnl_attr_put_u64(request.header, TCA_TBF_RATE64, rate->rate);
	mnl_attr_put_u32(request.header, TCA_TBF_BURST, clamp32(burst));
	mnl_attr_nest_end(request.header, nest);
	return rtnl_send(rtnl, &request, err, "link %s: rate limit", name);
}
