/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The extensions of xtables that decide about packets like ours in the rules of Docker, Istio, ufw and the like, as steps. All others are
 * conditions that nobody can tell.
 */
#include "inspect/ruleset.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_CONNMARK.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_CT.h>
#include <linux/netfilter/xt_devgroup.h>
#include <linux/netfilter/xt_iprange.h>
#include <linux/netfilter/xt_MARK.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter/xt_multiport.h>
#include <linux/netfilter/xt_owner.h>
#include <linux/netfilter/xt_state.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { AT_SOURCE_PORT = 0, AT_PORT = 2, AT_TCP_FLAGS = 13, AT_SOURCE = 12, AT_DESTINATION = 16 };

/* ---- Steps ---- */

static void inspect_xt_load(struct ruleset_rule *rule, enum ruleset_field field, uint8_t offset, uint8_t length)
{
	inspect_ruleset_add_step(
	    rule, &(struct ruleset_step){ .kind = STEP_LOAD, .field = field, .offset = offset, .length = length });
}

static void inspect_xt_doubt(struct ruleset_rule *rule, bool elsewhere)
{
	inspect_ruleset_add_step(rule, &(struct ruleset_step){ .kind = STEP_DOUBT, .elsewhere = elsewhere });
}

/* The number loaded last, masked, is VALUE. */
static void inspect_xt_compare_masked(struct ruleset_rule *rule, uint32_t mask, uint32_t value, bool inverted)
{
	struct ruleset_step masking = { .kind = STEP_MASK, .length = 4 };
	struct ruleset_step comparing = { .kind = STEP_COMPARE, .length = 4, .inverted = inverted };

	memcpy(masking.a, &mask, sizeof(mask));
	memcpy(comparing.a, &value, sizeof(value));
	inspect_ruleset_add_step(rule, &masking);
	inspect_ruleset_add_step(rule, &comparing);
}

/* LOW and HIGH as they lie in the registers. */
static void inspect_xt_range(struct ruleset_rule *rule, const void *low, const void *high, uint8_t length,
			     bool inverted, bool either)
{
	struct ruleset_step step = { .kind = STEP_RANGE, .length = length, .inverted = inverted, .either = either };

	memcpy(step.a, low, length);
	memcpy(step.b, high, length);
	inspect_ruleset_add_step(rule, &step);
}

static void inspect_xt_add_ports(struct ruleset_rule *rule, uint8_t offset, uint16_t low, uint16_t high, bool inverted,
				 bool either)
{
	uint16_t first = htons(low), last = htons(high);

	inspect_xt_load(rule, FIELD_TRANSPORT, offset, 2);
	inspect_xt_range(rule, &first, &last, 2, inverted, either);
}

/* A range of all ports is none, as iptables has it where nobody asked for one. */
static void inspect_xt_add_some_ports(struct ruleset_rule *rule, uint8_t offset, const __u16 ports[2], bool inverted)
{
	if (ports[0] || ports[1] != UINT16_MAX || inverted)
		inspect_xt_add_ports(rule, offset, ports[0], ports[1], inverted, false);
}

/* ---- Matches; DATA is the extension's own struct, of at least the size that the table says ---- */

static void inspect_xt_read_tcp(struct ruleset_rule *rule, const void *data)
{
	struct xt_tcp tcp;

	memcpy(&tcp, data, sizeof(tcp));
	inspect_xt_add_some_ports(rule, AT_SOURCE_PORT, tcp.spts, tcp.invflags & XT_TCP_INV_SRCPT);
	inspect_xt_add_some_ports(rule, AT_PORT, tcp.dpts, tcp.invflags & XT_TCP_INV_DSTPT);
	if (tcp.flg_mask || tcp.invflags & XT_TCP_INV_FLAGS) {
		struct ruleset_step masking = { .kind = STEP_MASK, .length = 1, .a = { tcp.flg_mask } };
		struct ruleset_step comparing = { .kind = STEP_COMPARE,
						  .length = 1,
						  .inverted = tcp.invflags & XT_TCP_INV_FLAGS,
						  .a = { tcp.flg_cmp } };
		inspect_xt_load(rule, FIELD_TRANSPORT, AT_TCP_FLAGS, 1);
		inspect_ruleset_add_step(rule, &masking);
		inspect_ruleset_add_step(rule, &comparing);
	}
	if (tcp.option)
		inspect_xt_doubt(rule, false);
}

static void inspect_xt_read_udp(struct ruleset_rule *rule, const void *data)
{
	struct xt_udp udp;

	memcpy(&udp, data, sizeof(udp));
	inspect_xt_add_some_ports(rule, AT_SOURCE_PORT, udp.spts, udp.invflags & XT_UDP_INV_SRCPT);
	inspect_xt_add_some_ports(rule, AT_PORT, udp.dpts, udp.invflags & XT_UDP_INV_DSTPT);
}

static void inspect_xt_read_multiport(struct ruleset_rule *rule, const void *data)
{
	struct xt_multiport_v1 multiport;

	memcpy(&multiport, data, sizeof(multiport));
	if (multiport.count > XT_MULTI_PORTS || !multiport.count) {
		inspect_xt_doubt(rule, true);
		return;
	}
	for (unsigned i = 0; i < multiport.count; i++) {
		uint16_t low = multiport.ports[i], high = low;
		if (multiport.pflags[i] && i + 1 < multiport.count)
			high = multiport.ports[++i];
		bool last = i + 1 == multiport.count;
		if (multiport.flags == XT_MULTIPORT_EITHER)
			inspect_xt_add_ports(rule, AT_SOURCE_PORT, low, high, false, true);
		inspect_xt_add_ports(rule, multiport.flags == XT_MULTIPORT_SOURCE ? AT_SOURCE_PORT : AT_PORT, low, high,
				     multiport.invert, !last);
	}
}

static void inspect_xt_add_owner(struct ruleset_rule *rule, enum ruleset_field field, uint32_t low, uint32_t high,
				 bool inverted)
{
	struct ruleset_step load = { .kind = STEP_LOAD, .field = field, .length = 4, .inverted = inverted };
	uint32_t first = htonl(low), last = htonl(high);

	inspect_ruleset_add_step(rule, &load);
	inspect_ruleset_add_step(rule, &(struct ruleset_step){ .kind = STEP_SWAP, .length = 4, .amount = 4 });
	inspect_xt_range(rule, &first, &last, 4, inverted, false);
}

static void inspect_xt_read_owner(struct ruleset_rule *rule, const void *data)
{
	struct xt_owner_match_info owner;

	memcpy(&owner, data, sizeof(owner));
	if (owner.match & XT_OWNER_SOCKET)
		inspect_xt_add_owner(rule, FIELD_USER, 0, UINT32_MAX, owner.invert & XT_OWNER_SOCKET);
	if (owner.match & XT_OWNER_UID)
		inspect_xt_add_owner(rule, FIELD_USER, owner.uid_min, owner.uid_max, owner.invert & XT_OWNER_UID);
	if (owner.match & XT_OWNER_GID)
		inspect_xt_add_owner(rule, FIELD_USER_GROUP, owner.gid_min, owner.gid_max, owner.invert & XT_OWNER_GID);
	/* The other groups of the process. */
	if (owner.match & ~(unsigned)(XT_OWNER_SOCKET | XT_OWNER_UID | XT_OWNER_GID))
		inspect_xt_doubt(rule, false);
}

/* The connection's state is, or with INVERTED is not, one of those in MASK, which has bits for translated ones too. */
static void inspect_xt_add_state(struct ruleset_rule *rule, uint32_t mask, bool inverted)
{
	uint32_t states = mask & (XT_CONNTRACK_STATE_INVALID | XT_CONNTRACK_STATE_BIT(IP_CT_NEW) |
				  XT_CONNTRACK_STATE_BIT(IP_CT_RELATED) | XT_CONNTRACK_STATE_BIT(IP_CT_ESTABLISHED));
	uint32_t translated =
	    (mask & XT_CONNTRACK_STATE_SNAT ? IPS_SRC_NAT : 0) | (mask & XT_CONNTRACK_STATE_DNAT ? IPS_DST_NAT : 0);
	struct ruleset_step masking = { .kind = STEP_MASK, .length = 4 };
	struct ruleset_step comparing = {
		.kind = STEP_COMPARE, .compare = COMPARE_DIFFERS, .length = 4, .either = true
	};

	if (mask & XT_CONNTRACK_STATE_UNTRACKED)
		states |= NF_CT_STATE_UNTRACKED_BIT;
	if (translated) {
		memcpy(masking.a, &translated, sizeof(translated));
		/* What is not tracked is not translated. */
		inspect_ruleset_add_step(
		    rule, &(struct ruleset_step){
			      .kind = STEP_LOAD, .field = FIELD_CT_STATUS, .length = 4, .inverted = true });
		inspect_ruleset_add_step(rule, &masking);
		inspect_ruleset_add_step(rule, &comparing);
	}
	memcpy(masking.a, &states, sizeof(states));
	comparing.either = false;
	comparing.inverted = inverted;
	inspect_xt_load(rule, FIELD_CT_STATE, 0, 4);
	inspect_ruleset_add_step(rule, &masking);
	inspect_ruleset_add_step(rule, &comparing);
}

static void inspect_xt_read_state(struct ruleset_rule *rule, const void *data)
{
	struct xt_state_info state;

	memcpy(&state, data, sizeof(state));
	inspect_xt_add_state(rule, state.statemask, false);
}

/* An address of the connection's first packet. */
static void inspect_xt_add_original(struct ruleset_rule *rule, uint8_t offset, const union nf_inet_addr *addr,
				    const union nf_inet_addr *mask, bool inverted)
{
	inspect_xt_load(rule, FIELD_CT_ORIGINAL, offset, 4);
	inspect_xt_compare_masked(rule, mask->ip, addr->ip & mask->ip, inverted);
}

static void inspect_xt_add_original_ports(struct ruleset_rule *rule, uint8_t offset, uint16_t low, uint16_t high,
					  bool inverted)
{
	uint16_t first = htons(low), last = htons(high);

	inspect_xt_load(rule, FIELD_CT_ORIGINAL, offset, 2);
	inspect_xt_range(rule, &first, &last, 2, inverted, false);
}

enum {
	XT_ORIGINAL = XT_CONNTRACK_PROTO | XT_CONNTRACK_ORIGSRC | XT_CONNTRACK_ORIGDST | XT_CONNTRACK_ORIGSRC_PORT |
		      XT_CONNTRACK_ORIGDST_PORT,
	/* The alias says only that somebody wrote `-m state`. */
	XT_CONNTRACK_KNOWN =
	    XT_CONNTRACK_STATE | XT_CONNTRACK_STATE_ALIAS | XT_CONNTRACK_STATUS | XT_CONNTRACK_DIRECTION | XT_ORIGINAL,
};

static void inspect_xt_add_originals(struct ruleset_rule *rule, const struct xt_conntrack_mtinfo3 *info)
{
	unsigned flags = info->match_flags, inverted = info->invert_flags;

	if (flags & XT_CONNTRACK_PROTO) {
		struct ruleset_step comparing = { .kind = STEP_COMPARE,
						  .length = 1,
						  .inverted = inverted & XT_CONNTRACK_PROTO,
						  .a = { (uint8_t)info->l4proto } };
		inspect_xt_load(rule, FIELD_CT_ORIGINAL, ORIGINAL_PROTOCOL, 1);
		inspect_ruleset_add_step(rule, &comparing);
	}
	if (flags & XT_CONNTRACK_ORIGSRC)
		inspect_xt_add_original(rule, ORIGINAL_SOURCE, &info->origsrc_addr, &info->origsrc_mask,
					inverted & XT_CONNTRACK_ORIGSRC);
	if (flags & XT_CONNTRACK_ORIGDST)
		inspect_xt_add_original(rule, ORIGINAL_DESTINATION, &info->origdst_addr, &info->origdst_mask,
					inverted & XT_CONNTRACK_ORIGDST);
	if (flags & XT_CONNTRACK_ORIGSRC_PORT)
		inspect_xt_add_original_ports(rule, ORIGINAL_SOURCE_PORT, info->origsrc_port, info->origsrc_port_high,
					      inverted & XT_CONNTRACK_ORIGSRC_PORT);
	if (flags & XT_CONNTRACK_ORIGDST_PORT)
		inspect_xt_add_original_ports(rule, ORIGINAL_PORT, info->origdst_port, info->origdst_port_high,
					      inverted & XT_CONNTRACK_ORIGDST_PORT);
}

static void inspect_xt_add_conntrack(struct ruleset_rule *rule, const struct xt_conntrack_mtinfo3 *info)
{
	unsigned flags = info->match_flags, inverted = info->invert_flags;
	bool more = flags & ~(unsigned)XT_CONNTRACK_KNOWN;

	if (flags & XT_CONNTRACK_STATE)
		inspect_xt_add_state(rule, info->state_mask, inverted & XT_CONNTRACK_STATE);
	/* Of what is not tracked, the state alone counts where it is asked for too. */
	if (more ||
	    (flags & XT_CONNTRACK_STATE && flags & (XT_CONNTRACK_STATUS | XT_CONNTRACK_DIRECTION | XT_ORIGINAL))) {
		inspect_xt_doubt(rule, more || flags & XT_ORIGINAL);
		return;
	}
	inspect_xt_add_originals(rule, info);
	if (flags & XT_CONNTRACK_STATUS) {
		inspect_xt_load(rule, FIELD_CT_STATUS, 0, 4);
		inspect_xt_compare_masked(rule, info->status_mask, 0, !(inverted & XT_CONNTRACK_STATUS));
	}
	if (flags & XT_CONNTRACK_DIRECTION) {
		inspect_xt_load(rule, FIELD_CT_DIRECTION, 0, 1);
		inspect_ruleset_add_step(rule, &(struct ruleset_step){ .kind = STEP_COMPARE,
								       .length = 1,
								       .inverted = inverted & XT_CONNTRACK_DIRECTION });
	}
}

static void inspect_xt_read_conntrack_3(struct ruleset_rule *rule, const void *data)
{
	struct xt_conntrack_mtinfo3 conntrack;

	memcpy(&conntrack, data, sizeof(conntrack));
	inspect_xt_add_conntrack(rule, &conntrack);
}

/* It has the beginning of revision 3, with single ports in the network's order. */
static void inspect_xt_read_conntrack_2(struct ruleset_rule *rule, const void *data)
{
	struct xt_conntrack_mtinfo3 conntrack = { 0 };

	memcpy(&conntrack, data, sizeof(struct xt_conntrack_mtinfo2));
	conntrack.origsrc_port = conntrack.origsrc_port_high = ntohs(conntrack.origsrc_port);
	conntrack.origdst_port = conntrack.origdst_port_high = ntohs(conntrack.origdst_port);
	inspect_xt_add_conntrack(rule, &conntrack);
}

/* It has the beginning of revision 2, with narrower masks. */
static void inspect_xt_read_conntrack_1(struct ruleset_rule *rule, const void *data)
{
	struct xt_conntrack_mtinfo1 old;
	struct xt_conntrack_mtinfo2 conntrack = { 0 };

	memcpy(&old, data, sizeof(old));
	memcpy(&conntrack, data, offsetof(struct xt_conntrack_mtinfo1, state_mask));
	conntrack.state_mask = old.state_mask;
	conntrack.status_mask = old.status_mask;
	inspect_xt_read_conntrack_2(rule, &conntrack);
}

/* The kinds of address of which each has a bit in MASK. */
static void inspect_xt_add_types(struct ruleset_rule *rule, enum ruleset_field field, unsigned mask, bool inverted)
{
	if (!mask)
		return;
	inspect_xt_load(rule, field, 0, 4);
	for (uint32_t type = 0; type < 16; type++) {
		struct ruleset_step comparing = { .kind = STEP_COMPARE, .length = 4, .inverted = inverted };
		if (!(mask & 1u << type))
			continue;
		memcpy(comparing.a, &type, sizeof(type));
		comparing.either = (mask & 0xffff) >> type > 1;
		inspect_ruleset_add_step(rule, &comparing);
	}
}

static void inspect_xt_read_addrtype(struct ruleset_rule *rule, const void *data)
{
	struct xt_addrtype_info_v1 type;

	memcpy(&type, data, sizeof(type));
	if (type.flags & (XT_ADDRTYPE_LIMIT_IFACE_IN | XT_ADDRTYPE_LIMIT_IFACE_OUT)) {
		inspect_xt_doubt(rule, true);
		return;
	}
	inspect_xt_add_types(rule, FIELD_SOURCE_TYPE, type.source, type.flags & XT_ADDRTYPE_INVERT_SOURCE);
	inspect_xt_add_types(rule, FIELD_DESTINATION_TYPE, type.dest, type.flags & XT_ADDRTYPE_INVERT_DEST);
}

static void inspect_xt_read_mark(struct ruleset_rule *rule, const void *data)
{
	struct xt_mark_mtinfo1 mark;

	memcpy(&mark, data, sizeof(mark));
	inspect_xt_load(rule, FIELD_MARK, 0, 4);
	inspect_xt_compare_masked(rule, mark.mask, mark.mark, mark.invert);
}

/* It has the layout of the packet's mark. */
static void inspect_xt_read_connmark(struct ruleset_rule *rule, const void *data)
{
	struct xt_connmark_mtinfo1 mark;

	memcpy(&mark, data, sizeof(mark));
	inspect_xt_load(rule, FIELD_CT_MARK, 0, 4);
	inspect_xt_compare_masked(rule, mark.mask, mark.mark, mark.invert);
}

static void inspect_xt_read_iprange(struct ruleset_rule *rule, const void *data)
{
	struct xt_iprange_mtinfo range;

	memcpy(&range, data, sizeof(range));
	if (range.flags & IPRANGE_SRC) {
		inspect_xt_load(rule, FIELD_NETWORK, AT_SOURCE, 4);
		inspect_xt_range(rule, &range.src_min.ip, &range.src_max.ip, 4, range.flags & IPRANGE_SRC_INV, false);
	}
	if (range.flags & IPRANGE_DST) {
		inspect_xt_load(rule, FIELD_NETWORK, AT_DESTINATION, 4);
		inspect_xt_range(rule, &range.dst_min.ip, &range.dst_max.ip, 4, range.flags & IPRANGE_DST_INV, false);
	}
}

static void inspect_xt_read_devgroup(struct ruleset_rule *rule, const void *data)
{
	struct xt_devgroup_info group;

	memcpy(&group, data, sizeof(group));
	if (group.flags & XT_DEVGROUP_MATCH_SRC) {
		inspect_xt_load(rule, FIELD_IIFGROUP, 0, 4);
		inspect_xt_compare_masked(rule, group.src_mask, group.src_group, group.flags & XT_DEVGROUP_INVERT_SRC);
	}
	if (group.flags & XT_DEVGROUP_MATCH_DST) {
		inspect_xt_load(rule, FIELD_OIFGROUP, 0, 4);
		inspect_xt_compare_masked(rule, group.dst_mask, group.dst_group, group.flags & XT_DEVGROUP_INVERT_DST);
	}
}

/* Whether a match that is not known has nothing to do with links, addresses and ports. */
static bool inspect_xt_is_chance(const char *name)
{
	static const char *const names[] = { "limit", "statistic", "time", "cgroup", "length", "ttl", "tos",
					     "dscp",  "connbytes", "ecn",  "tcpmss", "quota",  "cpu", "helper" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

void inspect_ruleset_add_xt_match(struct ruleset_rule *rule, const char *name, unsigned revision, const void *data,
				  size_t length)
{
	static const struct {
		const char *name;
		unsigned revision;
		size_t size;
		void (*read)(struct ruleset_rule *rule, const void *data);
	} matches[] = {
		{ "tcp", 0, sizeof(struct xt_tcp), inspect_xt_read_tcp },
		{ "udp", 0, sizeof(struct xt_udp), inspect_xt_read_udp },
		{ "multiport", 1, sizeof(struct xt_multiport_v1), inspect_xt_read_multiport },
		{ "owner", 1, sizeof(struct xt_owner_match_info), inspect_xt_read_owner },
		{ "state", 0, sizeof(struct xt_state_info), inspect_xt_read_state },
		{ "conntrack", 1, sizeof(struct xt_conntrack_mtinfo1), inspect_xt_read_conntrack_1 },
		{ "conntrack", 2, sizeof(struct xt_conntrack_mtinfo2), inspect_xt_read_conntrack_2 },
		{ "conntrack", 3, sizeof(struct xt_conntrack_mtinfo3), inspect_xt_read_conntrack_3 },
		{ "addrtype", 1, sizeof(struct xt_addrtype_info_v1), inspect_xt_read_addrtype },
		{ "mark", 1, sizeof(struct xt_mark_mtinfo1), inspect_xt_read_mark },
		{ "connmark", 1, sizeof(struct xt_connmark_mtinfo1), inspect_xt_read_connmark },
		{ "iprange", 1, sizeof(struct xt_iprange_mtinfo), inspect_xt_read_iprange },
		{ "devgroup", 0, sizeof(struct xt_devgroup_info), inspect_xt_read_devgroup },
	};

	if (strcmp(name, "comment") == 0 || strcmp(name, "nfacct") == 0)
		return;
	for (size_t i = 0; i < sizeof(matches) / sizeof(matches[0]); i++) {
		if (strcmp(name, matches[i].name) == 0 && revision == matches[i].revision && data &&
		    length >= matches[i].size) {
			matches[i].read(rule, data);
			return;
		}
	}
	inspect_xt_doubt(rule, !inspect_xt_is_chance(name));
}

/* ---- Targets ---- */

/* The packet's or the connection's mark = mark & ~CLEARED ^ the number loaded last, or ^ VALUE. */
static void inspect_xt_set_mark(struct ruleset_rule *rule, enum ruleset_step_kind kind, uint32_t cleared, bool loaded,
				uint32_t value)
{
	struct ruleset_step step = { .kind = kind, .source = loaded ? 0 : RULESET_NO_REGISTER };
	uint32_t kept = ~cleared;

	memcpy(step.a, &kept, sizeof(kept));
	memcpy(step.b, &value, sizeof(value));
	inspect_ruleset_add_step(rule, &step);
}

static void inspect_xt_add_mark(struct ruleset_rule *rule, unsigned revision, const void *data, size_t length)
{
	struct xt_mark_tginfo2 mark;

	if (revision == 2 && data && length >= sizeof(mark)) {
		memcpy(&mark, data, sizeof(mark));
		inspect_xt_set_mark(rule, STEP_MARK, mark.mask, false, mark.mark);
		return;
	}
	inspect_ruleset_add_step(rule, &(struct ruleset_step){ .kind = STEP_FORGET, .length = 4 });
	inspect_xt_set_mark(rule, STEP_MARK, UINT32_MAX, true, 0);
}

static void inspect_xt_add_connmark(struct ruleset_rule *rule, unsigned revision, const void *data, size_t length)
{
	struct xt_connmark_tginfo2 mark = { 0 };
	struct ruleset_step masking = { .kind = STEP_MASK, .length = 4 };
	size_t size = revision == 1 ? sizeof(struct xt_connmark_tginfo1) : sizeof(mark);

	if ((revision == 1 || revision == 2) && data && length >= size) {
		memcpy(&mark, data, size);
		if (revision == 1)
			mark.shift_bits = 0;
	}
	if (!size || mark.shift_bits || !data || length < size || (revision != 1 && revision != 2)) {
		inspect_ruleset_add_step(rule, &(struct ruleset_step){ .kind = STEP_FORGET, .length = 4 });
		inspect_xt_set_mark(rule, STEP_MARK, UINT32_MAX, true, 0);
		inspect_xt_set_mark(rule, STEP_CT_MARK, UINT32_MAX, true, 0);
	} else if (mark.mode == XT_CONNMARK_SET) {
		inspect_xt_set_mark(rule, STEP_CT_MARK, mark.ctmask, false, mark.ctmark);
	} else {
		bool save = mark.mode == XT_CONNMARK_SAVE;
		memcpy(masking.a, save ? &mark.nfmask : &mark.ctmask, 4);
		inspect_xt_load(rule, save ? FIELD_MARK : FIELD_CT_MARK, 0, 4);
		inspect_ruleset_add_step(rule, &masking);
		inspect_xt_set_mark(rule, save ? STEP_CT_MARK : STEP_MARK, save ? mark.ctmask : mark.nfmask, true, 0);
	}
}

static void inspect_xt_add_tracking(struct ruleset_rule *rule, const void *data, size_t length)
{
	__u16 flags = 0;

	if (data && length >= sizeof(flags))
		memcpy(&flags, data, sizeof(flags));
	if (flags & XT_CT_NOTRACK)
		inspect_ruleset_add_step(rule, &(struct ruleset_step){ .kind = STEP_UNTRACK });
}

void inspect_ruleset_set_xt_target(struct ruleset_rule *rule, const char *name, unsigned revision, const void *data,
				   size_t length)
{
	static const struct {
		const char *name;
		enum ruleset_verdict verdict;
	} targets[] = {
		{ "REJECT", VERDICT_DROP },       { "DROP", VERDICT_DROP },         { "ACCEPT", VERDICT_ACCEPT },
		{ "REDIRECT", VERDICT_REDIRECT }, { "TPROXY", VERDICT_REDIRECT },   { "DNAT", VERDICT_REDIRECT },
		{ "NETMAP", VERDICT_REDIRECT },   { "MASQUERADE", VERDICT_ACCEPT }, { "SNAT", VERDICT_ACCEPT },
		{ "LOG", VERDICT_NONE },          { "NFLOG", VERDICT_NONE },        { "MARK", VERDICT_NONE },
		{ "CONNMARK", VERDICT_NONE },     { "TCPMSS", VERDICT_NONE },       { "CT", VERDICT_NONE },
		{ "NOTRACK", VERDICT_NONE },      { "TRACE", VERDICT_NONE },        { "CHECKSUM", VERDICT_NONE },
		{ "CLASSIFY", VERDICT_NONE },     { "SET", VERDICT_NONE },          { "TEE", VERDICT_NONE },
		{ "AUDIT", VERDICT_NONE },        { "DSCP", VERDICT_NONE },         { "TOS", VERDICT_NONE },
		{ "TTL", VERDICT_NONE },          { "SECMARK", VERDICT_NONE },      { "CONNSECMARK", VERDICT_NONE },
	};

	snprintf(rule->word, sizeof(rule->word), "%.15s", name);
	rule->verdict = VERDICT_UNKNOWN;
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		if (strcmp(name, targets[i].name) == 0)
			rule->verdict = targets[i].verdict;
	if (strcmp(name, "MARK") == 0)
		inspect_xt_add_mark(rule, revision, data, length);
	else if (strcmp(name, "CONNMARK") == 0)
		inspect_xt_add_connmark(rule, revision, data, length);
	else if (strcmp(name, "CT") == 0)
		inspect_xt_add_tracking(rule, data, length);
	else if (strcmp(name, "NOTRACK") == 0)
		inspect_ruleset_add_step(rule, &(struct ruleset_step){ .kind = STEP_UNTRACK });
}
