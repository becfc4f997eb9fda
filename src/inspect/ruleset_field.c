/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of the packet in question as nftables' registers would hold them. Its headers are made as an image, in which the bits that
 * vary from one such packet to the next (length, checksum, sequence number, ...) are not known.
 */
#include "inspect/ruleset_run.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter_ipv4.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

enum { HEADER = 20, NAME = 16 };

/* What inspect_field_load() makes. */
struct field_bytes {
	uint8_t bits[2 * HEADER], known[2 * HEADER];
};

static void inspect_field_put(struct field_bytes *bytes, size_t at, const void *data, size_t length)
{
	memcpy(bytes->bits + at, data, length);
	memset(bytes->known + at, 0xff, length);
}

static void inspect_field_put_number(struct field_bytes *bytes, uint32_t number)
{
	inspect_field_put(bytes, 0, &number, sizeof(number));
}

static void inspect_field_put_byte(struct field_bytes *bytes, size_t at, uint8_t value, uint8_t known)
{
	bytes->bits[at] = value;
	bytes->known[at] = known;
}

static void inspect_field_put_port(struct field_bytes *bytes, size_t at, uint16_t port)
{
	uint16_t number = htons(port);

	inspect_field_put(bytes, at, &number, sizeof(number));
}

static uint8_t inspect_field_protocol(const struct ruleset_packet *packet)
{
	return packet->protocol ? packet->protocol : IPPROTO_TCP;
}

static void inspect_field_put_network(const struct ruleset_moment *moment, struct field_bytes *bytes)
{
	uint32_t source = htonl(moment->packet->source), destination = htonl(moment->packet->destination);

	inspect_field_put_byte(bytes, 0, 0x45, 0xff);
	/* A whole packet: only "don't fragment" may be set. */
	inspect_field_put_byte(bytes, 6, 0, 0xbf);
	inspect_field_put_byte(bytes, 7, 0, 0xff);
	inspect_field_put_byte(bytes, 9, inspect_field_protocol(moment->packet), 0xff);
	if (moment->state->altered != RULESET_NO)
		return;
	inspect_field_put(bytes, 12, &source, sizeof(source));
	inspect_field_put(bytes, 16, &destination, sizeof(destination));
}

static void inspect_field_put_transport(const struct ruleset_moment *moment, struct field_bytes *bytes)
{
	const struct ruleset_packet *packet = moment->packet;
	uint8_t protocol = inspect_field_protocol(packet);

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return;
	if (packet->source_port)
		inspect_field_put_port(bytes, 0, packet->source_port);
	if (moment->state->altered == RULESET_NO)
		inspect_field_put_port(bytes, 2, packet->port);
	/* The first packet has SYN alone, but for the bits of ECN; each later one has ACK. */
	if (protocol == IPPROTO_TCP && !packet->established)
		inspect_field_put_byte(bytes, 13, TH_SYN, 0x3f);
	else if (protocol == IPPROTO_TCP)
		inspect_field_put_byte(bytes, 13, TH_ACK, TH_ACK);
}

static bool inspect_field_is_loopback(uint32_t address)
{
	return address >> 24 == IN_LOOPBACKNET;
}

/* Later translations of addresses do not alter it. */
static void inspect_field_put_original(const struct ruleset_packet *packet, struct field_bytes *bytes)
{
	bool reply = packet->established;
	uint32_t source = htonl(reply ? packet->destination : packet->source);
	uint32_t destination = htonl(reply ? packet->source : packet->destination);
	uint16_t source_port = reply ? packet->port : packet->source_port;
	uint16_t port = reply ? packet->source_port : packet->port;

	inspect_field_put(bytes, ORIGINAL_SOURCE, &source, sizeof(source));
	if (!packet->redirected)
		inspect_field_put(bytes, ORIGINAL_DESTINATION, &destination, sizeof(destination));
	if (source_port)
		inspect_field_put_port(bytes, ORIGINAL_SOURCE_PORT, source_port);
	if (port && !packet->redirected)
		inspect_field_put_port(bytes, ORIGINAL_PORT, port);
	inspect_field_put_byte(bytes, ORIGINAL_PROTOCOL, inspect_field_protocol(packet), 0xff);
}

static bool inspect_field_put_ct(const struct ruleset_moment *moment, const struct ruleset_step *step,
				 struct field_bytes *bytes)
{
	enum ruleset_field field = step->field;
	bool established = moment->packet->established, state = field == FIELD_CT_STATE;
	bool early =
	    moment->priority < NF_IP_PRI_CONNTRACK && (moment->hook == HOOK_PREROUTING || moment->hook == HOOK_OUTPUT);

	/* What comes by loopback was tracked when it was sent. */
	if (moment->state->untracked == RULESET_PERHAPS || (early && strcmp(moment->packet->iif, "lo") == 0))
		return true;
	if (early || moment->state->untracked == RULESET_SURELY) {
		inspect_field_put_number(bytes, moment->state->untracked == RULESET_SURELY ? NF_CT_STATE_UNTRACKED_BIT
											   : NF_CT_STATE_INVALID_BIT);
		if (field == FIELD_CT_STATUS)
			inspect_field_put_number(bytes, 0);
		return state || step->inverted;
	}
	if (state) {
		inspect_field_put_number(bytes, NF_CT_STATE_BIT(established ? IP_CT_ESTABLISHED : IP_CT_NEW));
	} else if (field == FIELD_CT_ORIGINAL) {
		inspect_field_put_original(moment->packet, bytes);
	} else if (field == FIELD_CT_DIRECTION) {
		inspect_field_put_byte(bytes, 0, established ? IP_CT_DIR_REPLY : IP_CT_DIR_ORIGINAL, 0xff);
	} else if (field == FIELD_CT_STATUS) {
		uint32_t bits = established ? IPS_SEEN_REPLY | IPS_CONFIRMED : 0;
		uint32_t known = bits | IPS_EXPECTED;
		if (!established && moment->state->altered == RULESET_NO)
			known = IPS_EXPECTED | IPS_SEEN_REPLY | IPS_ASSURED | IPS_CONFIRMED | IPS_DST_NAT;
		if (moment->packet->redirected)
			bits |= IPS_DST_NAT;
		/* Loopback's are confirmed between the two hooks that they pass. */
		if (strcmp(moment->packet->iif, "lo") == 0)
			known &= ~(uint32_t)IPS_CONFIRMED;
		memcpy(bytes->bits, &bits, sizeof(bits));
		memcpy(bytes->known, &known, sizeof(known));
	} else {
		memcpy(bytes->bits, moment->state->ct_mark, 4);
		memcpy(bytes->known, moment->state->ct_mark_known, 4);
	}
	return true;
}

/* The name, index and group of a link; the kernel has no group of a link that is not there. */
static bool inspect_field_put_link(const struct ruleset_moment *moment, enum ruleset_field field,
				   struct field_bytes *bytes)
{
	const struct ruleset_packet *packet = moment->packet;
	bool in = field == FIELD_IIFNAME || field == FIELD_IIF || field == FIELD_IIFGROUP;
	bool there = in ? packet->iif[0] && moment->hook != HOOK_OUTPUT
			: packet->oif[0] && moment->hook != HOOK_PREROUTING && moment->hook != HOOK_INPUT;
	char name[NAME] = "";

	/* Some kernels still know where a packet came from when it leaves, and some do not. */
	if (in && there && moment->hook == HOOK_POSTROUTING)
		return true;
	if (field == FIELD_IIFNAME || field == FIELD_OIFNAME) {
		if (there)
			strncpy(name, in ? packet->iif : packet->oif, NAME - 1);
		inspect_field_put(bytes, 0, name, NAME);
	} else if (field == FIELD_IIF || field == FIELD_OIF) {
		inspect_field_put_number(bytes, !there ? 0 : in ? packet->iif_index : packet->oif_index);
	} else {
		inspect_field_put_number(bytes, in ? packet->iif_group : packet->oif_group);
		return there;
	}
	return true;
}

/* Only what a process of the host sends has an owner, and replies that are for one. */
static bool inspect_field_put_user(const struct ruleset_moment *moment, const struct ruleset_step *step,
				   struct field_bytes *bytes)
{
	const struct ruleset_packet *packet = moment->packet;

	if (!packet->iif[0]) {
		inspect_field_put_number(bytes, step->field == FIELD_USER ? packet->user : packet->group);
		return true;
	}
	return step->inverted || (packet->established && moment->hook == HOOK_INPUT);
}

static bool inspect_field_put_type(const struct ruleset_moment *moment, enum ruleset_field field,
				   struct field_bytes *bytes)
{
	const struct ruleset_packet *packet = moment->packet;
	bool local;

	if (moment->state->altered != RULESET_NO)
		return true;
	if (field == FIELD_SOURCE_TYPE)
		local = !packet->iif[0] || inspect_field_is_loopback(packet->source);
	else
		local = packet->local_destination || inspect_field_is_loopback(packet->destination);
	inspect_field_put_number(bytes, local ? RTN_LOCAL : RTN_UNICAST);
	return true;
}

static bool inspect_field_make(const struct ruleset_moment *moment, const struct ruleset_step *step,
			       struct field_bytes *bytes)
{
	switch (step->field) {
	case FIELD_UNKNOWN:
		return true;
	case FIELD_IIFNAME:
	case FIELD_OIFNAME:
	case FIELD_IIF:
	case FIELD_OIF:
	case FIELD_IIFGROUP:
	case FIELD_OIFGROUP:
		return inspect_field_put_link(moment, step->field, bytes);
	case FIELD_NFPROTO:
		inspect_field_put_byte(bytes, 0, NFPROTO_IPV4, 0xff);
		return true;
	case FIELD_L4PROTO:
		inspect_field_put_byte(bytes, 0, inspect_field_protocol(moment->packet), 0xff);
		return true;
	case FIELD_ETHERTYPE:
		inspect_field_put_port(bytes, 0, ETH_P_IP);
		return true;
	case FIELD_NETWORK:
		inspect_field_put_network(moment, bytes);
		return true;
	case FIELD_TRANSPORT:
		inspect_field_put_transport(moment, bytes);
		return true;
	case FIELD_USER:
	case FIELD_USER_GROUP:
		return inspect_field_put_user(moment, step, bytes);
	case FIELD_MARK:
		memcpy(bytes->bits, moment->state->mark, 4);
		memcpy(bytes->known, moment->state->mark_known, 4);
		return true;
	case FIELD_CT_MARK:
	case FIELD_CT_STATE:
	case FIELD_CT_DIRECTION:
	case FIELD_CT_STATUS:
	case FIELD_CT_ORIGINAL:
		return inspect_field_put_ct(moment, step, bytes);
	case FIELD_SOURCE_TYPE:
	case FIELD_DESTINATION_TYPE:
		return inspect_field_put_type(moment, step->field, bytes);
	}
	return true;
}

bool inspect_field_load(const struct ruleset_moment *moment, const struct ruleset_step *step, uint8_t *bits,
			uint8_t *known)
{
	struct field_bytes bytes = { 0 };
	size_t here = step->offset < sizeof(bytes.bits) ? sizeof(bytes.bits) - step->offset : 0;

	if (!inspect_field_make(moment, step, &bytes))
		return false;
	if (here > step->length)
		here = step->length;
	memset(bits, 0, step->length);
	memset(known, 0, step->length);
	for (size_t i = 0; i < here; i++) {
		bits[i] = bytes.bits[step->offset + i];
		known[i] = bytes.known[step->offset + i];
	}
	return true;
}

void inspect_state_begin(struct ruleset_state *state, const struct ruleset_packet *packet)
{
	*state = (struct ruleset_state){ .untracked = RULESET_NO, .altered = RULESET_NO };
	memset(state->mark_known, 0xff, sizeof(state->mark_known));
	/* A connection that exists may have got a mark. */
	memset(state->ct_mark_known, packet->established ? 0 : 0xff, sizeof(state->ct_mark_known));
}
