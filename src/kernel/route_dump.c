/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All routes of a namespace, for those who look for what is not theirs. A dump, unlike a lookup, says exactly in which table each is. */
#include "kernel/kern_route.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

struct kern_route_walk {
	void (*take)(void *context, const struct kern_route_entry *entry);
	void *context;
};

static uint32_t kern_route_number(const struct nlattr *attr, uint32_t otherwise)
{
	return attr ? nla_get_u32(attr) : otherwise;
}

static int kern_route_take_each(const struct nlmsghdr *header, void *context)
{
	const struct kern_route_walk *walk = context;
	const struct rtmsg *message = nlmsg_data(header);
	const struct nlattr *table[RTA_MAX + 1];
	struct kern_route_entry entry;

	if (header->nlmsg_type != RTM_NEWROUTE || nlmsg_datalen(header) < (int)sizeof(*message))
		return 0;
	kern_rtnl_attributes(header, sizeof(*message), table, RTA_MAX + 1);
	entry = (struct kern_route_entry){
		.table = kern_route_number(table[RTA_TABLE], message->rtm_table),
		.type = message->rtm_type,
		.protocol = message->rtm_protocol,
		.to = { .ip = ntohl(kern_route_number(table[RTA_DST], 0)), .length = message->rtm_dst_len },
		.gateway = ntohl(kern_route_number(table[RTA_GATEWAY], 0)),
		.index = (int)kern_route_number(table[RTA_OIF], 0),
	};
	walk->take(walk->context, &entry);
	return 0;
}

int kern_route_dump(struct kern_rtnl *rtnl, void (*take)(void *context, const struct kern_route_entry *entry),
		    void *context, struct err *err)
{
	const struct rtmsg body = { .rtm_family = AF_INET };
	struct kern_route_walk walk = { .take = take, .context = context };

	return kern_rtnl_ask(rtnl, kern_rtnl_message(RTM_GETROUTE, NLM_F_DUMP, &body, sizeof(body)),
			     kern_route_take_each, &walk, err, "routes");
}
