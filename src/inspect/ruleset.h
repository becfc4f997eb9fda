/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_INSPECT_RULESET_H
#define WEFT_INSPECT_RULESET_H

/*
 * The host's packet filter as a model that can be asked what it does with a packet: nftables tables, the iptables-nft ones among
 * them, and the legacy tables of iptables. What the model does not understand it knows that it does not: an answer is "surely",
 * "perhaps" or "no".
 */

#include "base/vec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum ruleset_field {
	FIELD_UNKNOWN, /* whether it matches cannot be told */
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

/* One condition: (packet's field & mask) compared with value, as bytes in the order of the packet or the host, as nft has it. */
struct ruleset_match {
	enum ruleset_field field;
	bool differs;   /* holds when they differ */
	uint8_t offset; /* of the bytes within the field */
	uint8_t length; /* bytes compared */
	uint8_t mask[16], value[16];
};

enum ruleset_verdict {
	VERDICT_NONE, /* the rule only counts, logs or marks */
	VERDICT_ACCEPT,
	VERDICT_DROP, /* also reject */
	VERDICT_JUMP, /* to chain; comes back */
	VERDICT_GOTO, /* to chain; goes on after the one that jumped here */
	VERDICT_RETURN,
	VERDICT_REDIRECT, /* to another port or address: redirect, tproxy, dnat */
	VERDICT_UNKNOWN,  /* by a map, to a queue: cannot be told */
};

enum { RULESET_NAME_SIZE = 64, RULESET_MATCHES_MAX = 12 };

struct ruleset_rule {
	uint64_t handle; /* 0 where there is none: legacy */
	struct ruleset_match matches[RULESET_MATCHES_MAX];
	size_t match_count;
	enum ruleset_verdict verdict;
	char word
	    [16]; /* "reject", "redirect", "tproxy", "dnat", ...: what the verdict is called; "" for the plain ones */
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
 * Reads the ruleset of the calling thread's namespace, IPv4's part of it. 0, or -1 with ERR (EPERM without CAP_NET_ADMIN).
 * ruleset_clear() frees; a zeroed one is empty.
 */
int ruleset_read(struct ruleset *ruleset, struct err *err);
void ruleset_clear(struct ruleset *ruleset);

/* Add the next, zeroed chain and rule; NULL for want of memory. Pointers to earlier ones are void afterwards. */
struct ruleset_chain *ruleset_add_chain(struct ruleset *ruleset);
struct ruleset_rule *ruleset_add_rule(struct ruleset_chain *chain);

/* Adds a condition; beyond RULESET_MATCHES_MAX the last one becomes one that cannot be told. */
void ruleset_add_match(struct ruleset_rule *rule, const struct ruleset_match *match);

/* The same for matches and targets of xtables, which iptables-nft and legacy share. DATA: the extension's own struct. */
void ruleset_add_xt_match(struct ruleset_rule *rule, const char *name, unsigned revision, const void *data,
			  size_t length);
void ruleset_set_xt_target(struct ruleset_rule *rule, const char *name);

/* Adds the chains of iptables' legacy tables, where the kernel has any. 0 or -1 with ERR. */
int ruleset_read_legacy(struct ruleset *ruleset, struct err *err);

/* A TCP packet over IPv4. Addresses and port in host order. */
struct ruleset_packet {
	const char *iif, *oif; /* names; "" where it has none (locally made, or to us) */
	unsigned iif_index, oif_index;
	uint32_t iif_group, oif_group;
	uint32_t source, destination;
	uint16_t port;
	bool established;
};

enum ruleset_certainty { RULESET_NO, RULESET_PERHAPS, RULESET_SURELY };

struct ruleset_answer {
	enum ruleset_certainty certainty;
	const struct ruleset_chain *chain; /* where it happens */
	const struct ruleset_rule *rule;   /* NULL: by the chain's policy */
};

/*
 * Whether PACKET is dropped (VERDICT_DROP) or sent elsewhere (VERDICT_REDIRECT) by a base chain at HOOK, tables `inet weft` left
 * out. The first sure answer, else the first perhaps.
 */
struct ruleset_answer ruleset_ask(const struct ruleset *ruleset, enum ruleset_hook hook, enum ruleset_verdict what,
				  const struct ruleset_packet *packet);

/* The chain of that name beside CHAIN, in its table; NULL. */
const struct ruleset_chain *ruleset_find(const struct ruleset *ruleset, const struct ruleset_chain *beside,
					 const char *name);

#endif
