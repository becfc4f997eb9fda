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

enum { LATENCY_MS = 50, BURST_MS = 10, ROOT_HANDLE = 0x10000 };

/*
 * A guard is a bucket that never empties. A frame with offloaded segmentation reaches a queue discipline with the length of all
 * that it stands for. One that is longer than the bucket would be segmented here; all others go to the queue, which takes none
 * that is longer than itself. No frame is longer than the bucket: 64 KiB are at most as many segments with 134 bytes of headers.
 */
static const uint64_t guard_rate = 32000000000u;
enum { GUARD_BURST = 16 << 20 };

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
static int kern_qdisc_put_bucket(struct nl_msg *message, uint64_t rate, uint64_t burst, uint64_t queue)
{
	const struct tc_tbf_qopt options = { .rate.linklayer = TC_LINKLAYER_ETHERNET,
					     .rate.rate = kern_qdisc_clamp32(rate),
					     .limit = kern_qdisc_clamp32(queue) };
	struct nlattr *nest = nla_nest_start(message, TCA_OPTIONS);

	if (!nest || nla_put(message, TCA_TBF_PARMS, sizeof(options), &options) < 0 ||
	    (rate > UINT32_MAX && nla_put_u64(message, TCA_TBF_RATE64, rate) < 0) ||
	    nla_put_u32(message, TCA_TBF_BURST, kern_qdisc_clamp32(burst)) < 0)
		return -1;
	return nla_nest_end(message, nest) < 0 ? -1 : 0;
}

/* NULL: no memory. */
static struct nl_msg *kern_qdisc_build(int index, uint64_t rate, uint64_t burst, uint64_t queue)
{
	const struct tcmsg body = { .tcm_ifindex = index, .tcm_parent = TC_H_ROOT, .tcm_handle = ROOT_HANDLE };
	struct nl_msg *message = kern_rtnl_message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof(body));

	message = kern_rtnl_put_string(message, TCA_KIND, "tbf");
	if (message && kern_qdisc_put_bucket(message, rate, burst, queue) == 0)
		return message;
	nlmsg_free(message);
	return NULL;
}

int kern_qdisc_limit(struct kern_rtnl *rtnl, int index, const char *name, const struct kern_rate *rate, unsigned mtu,
		     struct err *err)
{
	uint64_t burst = rate->burst ? rate->burst : rate->rate / 1000 * BURST_MS;

	if (!rate->rate)
		return kern_qdisc_remove(rtnl, index, name, err);
	if (burst < mtu + ETH_HLEN)
		burst = mtu + ETH_HLEN;
	return kern_rtnl_send(rtnl, kern_qdisc_build(index, rate->rate, burst, rate->rate / 1000 * LATENCY_MS + burst),
			      err, "link %s: rate limit", name);
}

int kern_qdisc_guard(struct kern_rtnl *rtnl, int index, const char *name, uint32_t bytes, struct err *err)
{
	return kern_rtnl_send(rtnl, kern_qdisc_build(index, guard_rate, GUARD_BURST, bytes), err, "link %s: guard",
			      name);
}
