/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfnetlink_log. One request makes us the reader of a group and says how much of each packet is copied, and that each is delivered at
 * once: by default the kernel gathers a hundred, or waits a second. The packets then come unasked on the same socket.
 */
#include "kernel/packet_log.h"

#include "base/err.h"

#include <endian.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <sys/socket.h>

enum {
	BUFFER_SIZE = 1 << 20, /* of the socket: some 200 packets, as the kernel counts */
	AT_ONCE = 1,           /* packets that a message gathers */
};

/* MESSAGE that asks to be GROUP's reader. */
static struct nl_msg *kern_packet_log_request(uint16_t group, uint16_t snaplen)
{
	const struct nfgenmsg body = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htobe16(group) };
	const struct nfulnl_msg_config_cmd bind = { .command = NFULNL_CFG_CMD_BIND };
	const struct nfulnl_msg_config_mode mode = { .copy_range = htobe32(snaplen), .copy_mode = NFULNL_COPY_PACKET };
	struct nl_msg *message = kern_rtnl_message(NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG, 0, &body, sizeof(body));

	message = kern_rtnl_put(message, NFULA_CFG_CMD, &bind, sizeof(bind));
	message = kern_rtnl_put(message, NFULA_CFG_MODE, &mode, sizeof(mode));
	return kern_rtnl_put_u32(message, NFULA_CFG_QTHRESH, htobe32(AT_ONCE));
}

int kern_packet_log_open(struct kern_packet_log *log, uint16_t group, uint16_t snaplen, struct err *err)
{
	int size = BUFFER_SIZE;

	*log = (struct kern_packet_log)KERN_PACKET_LOG_CLOSED;
	log->group = group;
	if (kern_rtnl_open(&log->netlink, -1, NETLINK_NETFILTER, err) < 0)
		return err_wrap(err, "packet log");
	/* A smaller one loses packets earlier, and nothing else. */
	(void)setsockopt(log->netlink.fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (kern_rtnl_send(&log->netlink, kern_packet_log_request(group, snaplen), err, "packet log, group %u",
			   (unsigned)group) == 0)
		return 0;
	/* The kernel has the same answer for both. */
	if (err->code == EPERM)
		err_set(err, EPERM, "packet log, group %u: another program reads it, or there is no CAP_NET_ADMIN",
			(unsigned)group);
	kern_packet_log_close(log);
	return -1;
}

void kern_packet_log_close(struct kern_packet_log *log)
{
	kern_rtnl_close(&log->netlink);
}

int kern_packet_log_fd(const struct kern_packet_log *log)
{
	return log->netlink.fd;
}

static void kern_packet_log_look(const struct kern_packet_log *log, const struct nlmsghdr *header,
				 kern_packet_log_take *take, void *context)
{
	const struct nlattr *table[NFULA_PAYLOAD + 1];
	const struct nfgenmsg *body = nlmsg_data(header);

	if (header->nlmsg_type != (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET) ||
	    nlmsg_datalen(header) < (int)sizeof(*body) || body->res_id != htobe16(log->group))
		return;
	kern_rtnl_attributes(header, sizeof(*body), table, NFULA_PAYLOAD + 1);
	if (table[NFULA_PAYLOAD])
		take(context, nla_data(table[NFULA_PAYLOAD]), (size_t)nla_len(table[NFULA_PAYLOAD]));
}

int kern_packet_log_read(struct kern_packet_log *log, kern_packet_log_take *take, void *context, struct err *err)
{
	_Alignas(struct nlmsghdr) char buffer[KERN_RTNL_RECEIVE_SIZE];
	struct nlmsghdr *header = (struct nlmsghdr *)buffer;
	ssize_t got;
	int left;

	do {
		got = recv(log->netlink.fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	} while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		return 0;
	if (got < 0)
		return err_set(err, errno, "packet log, group %u", (unsigned)log->group);
	/* A message that does not fit is cut, and not nlmsg_ok(): its packets are lost. */
	for (left = (int)got; nlmsg_ok(header, left); header = nlmsg_next(header, &left))
		kern_packet_log_look(log, header, take, context);
	return 1;
}
