/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A token bucket filter as the link's root. Packets wait for tokens; the queue holds LATENCY_MS worth of the rate, and drops packets
 * beyond that. The 64 bit attributes are used throughout: the old ones end at 4 GB/s and count in clock ticks.
 *
 * libnl-route builds none of it: the rate of its token bucket is an int, which makes another rate of 5 GB/s without a word.
 */
#include "kernel/qdisc.h"

#include "base/err.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

enum { LATENCY_MS = 50, BURST_MS = 10, ROOT_HANDLE = 0x10000 };

static struct nl_msg *kern_qdisc_build_removal(int index)
{
	const struct tcmsg body = { .tcm_ifindex = index, .tcm_parent = TC_H_ROOT };

	return kern_rtnl_message(RTM_DELQDISC, 0, &body, sizeof(body));
}

static int kern_qdisc_remove(struct kern_rtnl *rtnl, int index, const char *name, struct err *err)
{
	if (kern_rtnl_send(rtnl, kern_qdisc_build_removal(index), err, "link %s: removing its rate limit", name) == 0)
		return 0;
	/* The qdisc that the kernel put there by itself cannot be removed, and is no limit. */
	return err->code == ENOENT || err->code == EINVAL ? 0 : -1;
}

static uint32_t kern_qdisc_clamp32(uint64_t value)
{
	return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

/* 0, or -1: no memory. */
static int kern_qdisc_put_bucket(struct nl_msg *message, uint64_t rate, uint64_t burst, uint32_t queue)
{
	const struct tc_tbf_qopt options = { .rate.linklayer = TC_LINKLAYER_ETHERNET,
					     .rate.rate = kern_qdisc_clamp32(rate),
					     .limit = queue };
	struct nlattr *nest = nla_nest_start(message, TCA_OPTIONS);

	if (!nest || nla_put(message, TCA_TBF_PARMS, sizeof(options), &options) < 0 ||
	    (rate > UINT32_MAX && nla_put_u64(message, TCA_TBF_RATE64, rate) < 0) ||
	    nla_put_u32(message, TCA_TBF_BURST, kern_qdisc_clamp32(burst)) < 0)
		return -1;
	return nla_nest_end(message, nest) < 0 ? -1 : 0;
}

/* NULL: no memory. */
static struct nl_msg *kern_qdisc_build(int index, uint64_t rate, uint64_t burst, uint32_t queue)
{
	const struct tcmsg body = { .tcm_ifindex = index, .tcm_parent = TC_H_ROOT, .tcm_handle = ROOT_HANDLE };
	struct nl_msg *message = kern_rtnl_message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof(body));

	message = kern_rtnl_put_string(message, TCA_KIND, "tbf");
	if (message && kern_qdisc_put_bucket(message, rate, burst, queue) == 0)
		return message;
	nlmsg_free(message);
	return NULL;
}

static uint64_t kern_qdisc_burst(const struct kern_rate *rate, unsigned mtu)
{
	uint64_t burst = rate->burst ? rate->burst : rate->rate / 1000 * BURST_MS;

	return burst < mtu + ETH_HLEN ? mtu + ETH_HLEN : burst;
}

static uint32_t kern_qdisc_queue(const struct kern_rate *rate, unsigned mtu)
{
	return rate->queue ? rate->queue
			   : kern_qdisc_clamp32(rate->rate / 1000 * LATENCY_MS + kern_qdisc_burst(rate, mtu));
}

int kern_qdisc_limit(struct kern_rtnl *rtnl, int index, const char *name, const struct kern_rate *rate, unsigned mtu,
		     struct err *err)
{
	if (!rate->rate)
		return kern_qdisc_remove(rtnl, index, name, err);
	return kern_rtnl_send(
	    rtnl, kern_qdisc_build(index, rate->rate, kern_qdisc_burst(rate, mtu), kern_qdisc_queue(rate, mtu)), err,
	    "link %s: rate limit", name);
}

struct kern_qdisc_found {
	int index;   /* in: of the link */
	bool bucket; /* a token bucket */
	uint64_t rate;
	struct tc_tbf_qopt options;
};

static int kern_qdisc_take(const struct nlmsghdr *header, void *context)
{
	struct kern_qdisc_found *found = context;
	const struct nlattr *table[TCA_MAX + 1];
	const struct nlattr *bucket[TCA_TBF_MAX + 1];

	const struct tcmsg *body = nlmsg_data(header);

	if (header->nlmsg_type != RTM_NEWQDISC || nlmsg_datalen(header) < (int)sizeof(*body) ||
	    body->tcm_ifindex != found->index || body->tcm_parent != TC_H_ROOT)
		return 0;
	kern_rtnl_attributes(header, sizeof(*body), table, TCA_MAX + 1);
	if (!table[TCA_KIND] || strcmp(nla_get_string(table[TCA_KIND]), "tbf") != 0 || !table[TCA_OPTIONS])
		return 0;
	kern_rtnl_nested(table[TCA_OPTIONS], bucket, TCA_TBF_MAX + 1);
	if (!bucket[TCA_TBF_PARMS] || nla_len(bucket[TCA_TBF_PARMS]) < (int)sizeof(found->options))
		return 0;
	found->bucket = true;
	memcpy(&found->options, nla_data(bucket[TCA_TBF_PARMS]), sizeof(found->options));
	found->rate = bucket[TCA_TBF_RATE64] ? nla_get_u64(bucket[TCA_TBF_RATE64]) : (uint64_t)found->options.rate.rate;
	return 0;
}

/* The kernel shows the burst as the time in which it is sent, in ticks of 64 ns that it has rounded twice. */
static bool kern_qdisc_same_burst(uint32_t ticks, uint64_t rate, uint64_t burst)
{
	enum { TICK_NS = 64, HUNDRED = 100, SLACK = 2 };
	double wanted = (double)burst * 1e9 / (double)rate / TICK_NS, is = ticks;

	return is >= wanted - wanted / HUNDRED - SLACK && is <= wanted + wanted / HUNDRED + SLACK;
}

int kern_qdisc_is_limit(struct kern_rtnl *rtnl, int index, const char *name, const struct kern_rate *rate, unsigned mtu,
			bool *same, struct err *err)
{
	enum { TRIES = 10 };
	const struct tcmsg body = { .tcm_ifindex = index };
	uint64_t burst = kern_qdisc_burst(rate, mtu);
	struct kern_qdisc_found found;
	int result = -1;

	/* A get without a dump tells all who listen to changes of queue disciplines. */
	for (int i = 0; i < TRIES && result < 0; i++) {
		found = (struct kern_qdisc_found){ .index = index };
		result = kern_rtnl_ask(rtnl, kern_rtnl_message(RTM_GETQDISC, NLM_F_DUMP, &body, sizeof(body)),
				       kern_qdisc_take, &found, err, "link %s: rate limit", name);
		if (result < 0 && err->code != EINTR)
			return -1;
	}
	if (result < 0)
		return -1;
	*same = found.bucket && found.rate == rate->rate && found.options.limit == kern_qdisc_queue(rate, mtu) &&
		kern_qdisc_same_burst(found.options.buffer, rate->rate, burst);
	return 0;
}

static int kern_qdisc_take_any(const struct nlmsghdr *header, void *context)
{
	bool *found = context;

	*found |= header->nlmsg_type == RTM_NEWQDISC;
	return 0;
}

int kern_qdisc_find_ingress(struct kern_rtnl *rtnl, int index, const char *name, bool *found, struct err *err)
{
	const struct tcmsg body = { .tcm_ifindex = index, .tcm_parent = TC_H_INGRESS };

	*found = false;
	/* Without this flag the kernel answers those alone who listen to changes. */
	if (kern_rtnl_ask(rtnl, kern_rtnl_message(RTM_GETQDISC, NLM_F_ECHO, &body, sizeof(body)), kern_qdisc_take_any,
			  found, err, "link %s: ingress", name) == 0 ||
	    err->code == ENOENT || err->code == EINVAL)
		return 0;
	return -1;
}
