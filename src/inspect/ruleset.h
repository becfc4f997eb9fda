/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_INSPECT_RULESET_H
#define WEFT_INSPECT_RULESET_H

/*
 * The host's packet filter as a model that predicts the fate of a packet. It has the tables of nftables, including those of
 * iptables-nft, and the legacy tables of iptables. The model knows what it does not understand: an answer is "surely", "perhaps" or "no".
 */

#include "base/vec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum ruleset_field {
	FIELD_UNKNOWN, /* may match or not */
	FIELD_NEVER,   /* does not match a packet of ours (another protocol, IPv6) */
	FIELD_IIFNAME,
	FIELD_OIFNAME,
	FIELD_IIFGROUP,
	FIELD_OIFGROUP,
	FIELD_IIF, /* index */
	FIELD_OIF, /* index */
	FIELD_NFPROTO,
	FIELD_L4PROTO,
	FIELD_SOURCE,       /* address */
	FIELD_DESTINATION,  /* address */
	FIELD_PORT,         /* destination port */
	FIELD_ADDRESS_TYPE, /* of the destination: RTN_LOCAL, ... */
	FIELD_CT_STATE,
	FIELD_MARK, /* packet mark */
};

/*
 * One condition: compares the packet's field & mask with value, as bytes in the order of the packet or the host, as nft does.
 */
struct ruleset_match {
	enum ruleset_field field;
	bool differs;   /* holds if they differ */
	uint8_t offset; /* of the bytes within the field */
	uint8_t length; /* bytes compared */
	uint8_t mask[16], value[16];
};

enum ruleset_verdict {
	VERDICT_NONE, /* the rule only counts, logs or marks */
	VERDICT_ACCEPT,
	VERDICT_DROP, /* also reject */
	VERDICT_JUMP, /* to chain; comes back */
	VERDICT_GOTO, /* to chain; returns to where the last jump came from */
	VERDICT_RETURN,
	VERDICT_REDIRECT, /* to another port or address: redirect, tproxy, dnat */
	VERDICT_UNKNOWN,  /* by a map, to a queue: any of them */
};

enum { RULESET_NAME_SIZE = 64, RULESET_MATCHES_MAX = 12 };

struct ruleset_rule {
	uint64_t handle; /* 0: none, as in legacy tables */
	struct ruleset_match matches[RULESET_MATCHES_MAX];
	size_t match_count;
	enum ruleset_verdict verdict;
	char word[16]; /* "reject", "redirect", "tproxy", "dnat", ...: the verdict's name; "" for the plain ones */
	char target[RULESET_NAME_SIZE]; /* of a jump or goto */
};

/* The kernel's numbers, for IPv4 and inet. */
enum ruleset_hook { HOOK_PREROUTING, HOOK_INPUT, HOOK_FORWARD, HOOK_OUTPUT, HOOK_POSTROUTING, HOOK_NONE };

struct ruleset_chain {
	bool legacy;    /* of iptables-legacy */
	char family[8]; /* "ip", "inet" */
	char table[RULESET_NAME_SIZE];
	char name[RULESET_NAME_SIZE];
	char type[16];          /* "filter", "nat", ... */
	enum ruleset_hook hook; /* HOOK_NONE: entered by a jump alone */
	int32_t priority;
	bool drops; /* policy */
	struct {
		VEC_OF(struct ruleset_rule);
	} rules;
};

struct ruleset {
	VEC_OF(struct ruleset_chain);
};

/*
 * Reads the IPv4 part of the ruleset of the calling thread's namespace. Returns 0, or -1 with ERR (EPERM without
 * CAP_NET_ADMIN). inspect_ruleset_clear() frees; a zeroed struct is empty.
 */
int inspect_ruleset_read(struct ruleset *ruleset, struct err *err);
void inspect_ruleset_clear(struct ruleset *ruleset);

/* Add a zeroed chain or rule at the end; NULL without memory. Pointers to earlier ones become invalid. */
struct ruleset_chain *inspect_ruleset_add_chain(struct ruleset *ruleset);
struct ruleset_rule *inspect_ruleset_add_rule(struct ruleset_chain *chain);

/* Adds a condition. Beyond RULESET_MATCHES_MAX the last condition becomes FIELD_UNKNOWN. */
void inspect_ruleset_add_match(struct ruleset_rule *rule, const struct ruleset_match *match);

/* Add matches and targets of xtables, which iptables-nft and legacy tables share. DATA: the extension's own struct. */
void inspect_ruleset_add_xt_match(struct ruleset_rule *rule, const char *name, unsigned revision, const void *data,
				  size_t length);
void inspect_ruleset_set_xt_target(struct ruleset_rule *rule, const char *name);

/* Adds the chains of iptables' legacy tables, if the kernel has any. 0 or -1 with ERR. */
int inspect_ruleset_read_legacy(struct ruleset *ruleset, struct err *err);

/* A packet over IPv4. Addresses and port in host order. */
struct ruleset_packet {
	const char *iif, *oif; /* names; "": none (sent by the host, or to it) */
	unsigned iif_index, oif_index;
	uint32_t iif_group, oif_group;
	uint32_t source, destination;
	uint16_t port;
	bool established;
	uint8_t protocol; /* IPPROTO_*; 0: TCP */
};

enum ruleset_certainty { RULESET_NO, RULESET_PERHAPS, RULESET_SURELY };

struct ruleset_answer {
	enum ruleset_certainty certainty;
	const struct ruleset_chain *chain; /* the chain that decides */
	const struct ruleset_rule *rule;   /* NULL: by the chain's policy */
};

/*
 * Whether a base chain at HOOK, other than those of tables named weft, drops PACKET (VERDICT_DROP) or sends it elsewhere
 * (VERDICT_REDIRECT). Returns the first sure answer, else the first perhaps.
 */
struct ruleset_answer inspect_ruleset_ask(const struct ruleset *ruleset, enum ruleset_hook hook,
					  enum ruleset_verdict what, const struct ruleset_packet *packet);

/* The chain NAME in the table of chain BESIDE; NULL: none. */
const struct ruleset_chain *inspect_ruleset_find(const struct ruleset *ruleset, const struct ruleset_chain *beside,
						 const char *name);

#endif
