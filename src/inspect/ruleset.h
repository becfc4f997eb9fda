/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_INSPECT_RULESET_H
#define WEFT_INSPECT_RULESET_H

/*
 * The host's packet filter as a model that predicts the fate of a packet. It has the tables of nftables, including those of
 * iptables-nft, and the legacy tables of iptables. The model knows what it does not understand: an answer is "surely", "perhaps" or "no".
 *
 * A rule is a program, as it is in nftables: steps load parts of the packet into registers, change them and compare them. What
 * a step needs and nobody can know beforehand (a rate, a cgroup, a random number) makes the comparison a "perhaps".
 */

#include "base/vec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum { RULESET_NAME_SIZE = 64, RULESET_REGISTERS_SIZE = 64, RULESET_VALUE_SIZE = 16, RULESET_KEY_SIZE = 32 };

/* The kernel's numbers, for IPv4 and inet. */
enum ruleset_hook { HOOK_PREROUTING, HOOK_INPUT, HOOK_FORWARD, HOOK_OUTPUT, HOOK_POSTROUTING, HOOK_NONE };

/* What a step loads. Numbers are in the host's byte order, unless it says otherwise. */
enum ruleset_field {
	FIELD_UNKNOWN,
	FIELD_IIFNAME, /* 16 bytes */
	FIELD_OIFNAME,
	FIELD_IIFGROUP,
	FIELD_OIFGROUP,
	FIELD_IIF, /* index */
	FIELD_OIF,
	FIELD_NFPROTO,
	FIELD_L4PROTO,
	FIELD_ETHERTYPE, /* of the network */
	FIELD_NETWORK,   /* the IPv4 header, from an offset on */
	FIELD_TRANSPORT, /* the header behind it */
	FIELD_USER,      /* owner of the socket */
	FIELD_USER_GROUP,
	FIELD_MARK, /* of the packet */
	FIELD_CT_MARK,
	FIELD_CT_STATE,
	FIELD_CT_DIRECTION,
	FIELD_CT_STATUS,
	FIELD_CT_ORIGINAL, /* the connection's first packet: source, destination, their ports, protocol; in the network's order */
	FIELD_SOURCE_TYPE, /* of the address: RTN_LOCAL, ... */
	FIELD_DESTINATION_TYPE,
};

/* Where the parts of FIELD_CT_ORIGINAL begin. */
enum {
	ORIGINAL_SOURCE = 0,
	ORIGINAL_DESTINATION = 4,
	ORIGINAL_SOURCE_PORT = 8,
	ORIGINAL_PORT = 10,
	ORIGINAL_PROTOCOL = 12
};

enum ruleset_compare { COMPARE_EQUAL, COMPARE_DIFFERS, COMPARE_LESS, COMPARE_AT_MOST, COMPARE_MORE, COMPARE_AT_LEAST };

enum ruleset_step_kind {
	STEP_LOAD,     /* FIELD from OFFSET on, LENGTH bytes, to TARGET */
	STEP_SET,      /* TARGET = the bytes of A */
	STEP_MASK,     /* TARGET = SOURCE & A ^ B */
	STEP_SHIFT,    /* TARGET = SOURCE << AMOUNT, to the right if below 0 */
	STEP_SWAP,     /* TARGET = SOURCE, each AMOUNT bytes in the other order */
	STEP_FORGET,   /* TARGET holds anything */
	STEP_COMPARE,  /* goes on if SOURCE compares to A */
	STEP_RANGE,    /* goes on if SOURCE is in A ... B */
	STEP_LOOKUP,   /* goes on if SOURCE is in SET; of a map, TARGET gets the data */
	STEP_VERDICTS, /* the verdict is that of SOURCE in SET */
	STEP_DOUBT,    /* goes on or not */
	STEP_NEVER,    /* does not go on for a packet of ours */
	STEP_MARK,     /* the packet's mark = mark & A ^ SOURCE, or ^ B without a source */
	STEP_CT_MARK,  /* the connection's mark likewise */
	STEP_ALTER,    /* addresses or ports are rewritten */
	STEP_UNTRACK,  /* no connection tracking */
};

/* Registers are offsets in bytes. */
enum { RULESET_NO_REGISTER = 0xff };

struct ruleset_step {
	enum ruleset_step_kind kind;
	enum ruleset_field field;
	enum ruleset_compare compare;
	uint8_t source, target, offset, length;
	int16_t amount;
	bool inverted;  /* a load: what is not there is 0, or not known, and no end of the rule */
	bool either;    /* a comparison: holds, too, if the next one does; only the last is inverted, for all */
	bool elsewhere; /* of what is not known: it may depend on links, addresses or ports */
	uint8_t a[RULESET_VALUE_SIZE], b[RULESET_VALUE_SIZE];
	size_t set; /* index in the ruleset */
};

enum ruleset_verdict {
	VERDICT_NONE, /* the rule only counts, logs or marks */
	VERDICT_ACCEPT,
	VERDICT_DROP, /* also reject */
	VERDICT_JUMP, /* to chain; comes back */
	VERDICT_GOTO, /* to chain; returns to where the last jump came from */
	VERDICT_RETURN,
	VERDICT_REDIRECT, /* to another port or address: redirect, tproxy, dnat */
	VERDICT_UNKNOWN,  /* to a queue: any of them */
};

struct ruleset_rule {
	uint64_t handle; /* 0: none, as in legacy tables */
	struct {
		VEC_OF(struct ruleset_step);
	} steps;
	enum ruleset_verdict verdict;
	char word[16]; /* "reject", "redirect", "tproxy", "dnat", ...: the verdict's name; "" for the plain ones */
	char target[RULESET_NAME_SIZE]; /* of a jump or goto */
	bool incomplete;                /* there was no memory for a step */
};

/* From LOW to HIGH, both included; in a concatenation each field for itself. */
struct ruleset_element {
	uint8_t low[RULESET_KEY_SIZE], high[RULESET_KEY_SIZE];
	bool end;      /* while it is read: the interval before ends here */
	bool any;      /* "*": what no other element has */
	bool doubtful; /* has a condition of its own */
	bool has_data;
	uint8_t data[RULESET_VALUE_SIZE];
	enum ruleset_verdict verdict; /* of a verdict map */
	char target[RULESET_NAME_SIZE];
};

/* A set that a rule looks into. */
struct ruleset_set {
	char family[8];
	char table[RULESET_NAME_SIZE];
	char name[RULESET_NAME_SIZE];
	bool interval;   /* LOW and HIGH may differ */
	bool unreadable; /* too many elements or too long keys: anything may be in it */
	uint8_t key_length, data_length;
	uint8_t fields[8]; /* lengths of the fields of a concatenation */
	size_t field_count;
	struct {
		VEC_OF(struct ruleset_element);
	} elements; /* by LOW, unless it is a concatenation of intervals */
};

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

/* A table whose chains the kernel does not ask (`flags dormant`). */
struct ruleset_dormant {
	char family[8];
	char table[RULESET_NAME_SIZE];
};

struct ruleset {
	VEC_OF(struct ruleset_chain);
	struct {
		VEC_OF(struct ruleset_dormant);
	} dormant;
	struct {
		VEC_OF(struct ruleset_set);
	} sets;
};

/*
 * Reads the IPv4 part of the ruleset of the calling thread's namespace, without weft's own table. Returns 0, or -1 with ERR (EPERM
 * without CAP_NET_ADMIN). inspect_ruleset_clear() frees; a zeroed struct is empty.
 */
int inspect_ruleset_read(struct ruleset *ruleset, struct err *err);
void inspect_ruleset_clear(struct ruleset *ruleset);

/* Add a zeroed chain, rule or set at the end; NULL without memory. Pointers to earlier ones become invalid. */
struct ruleset_chain *inspect_ruleset_add_chain(struct ruleset *ruleset);
struct ruleset_rule *inspect_ruleset_add_rule(struct ruleset_chain *chain);
struct ruleset_set *inspect_ruleset_add_set(struct ruleset *ruleset);

/* Adds a step. Want of memory is noted in the rule, which whoever made it has to refuse then. */
void inspect_ruleset_add_step(struct ruleset_rule *rule, const struct ruleset_step *step);
void inspect_ruleset_clear_rule(struct ruleset_rule *rule);

/* Add matches and targets of xtables, which iptables-nft and legacy tables share. DATA: the extension's own struct. */
void inspect_ruleset_add_xt_match(struct ruleset_rule *rule, const char *name, unsigned revision, const void *data,
				  size_t length);
void inspect_ruleset_set_xt_target(struct ruleset_rule *rule, const char *name, unsigned revision, const void *data,
				   size_t length);

/* Adds the chains of iptables' legacy tables, if the kernel has any. 0 or -1 with ERR. */
int inspect_ruleset_read_legacy(struct ruleset *ruleset, struct err *err);

/* A packet over IPv4. Addresses and ports in host order. */
struct ruleset_packet {
	const char *iif, *oif; /* names; "": none (sent by the host, or to it) */
	unsigned iif_index, oif_index;
	uint32_t iif_group, oif_group;
	uint32_t source, destination;
	uint16_t port;
	uint16_t source_port;   /* 0: any */
	bool redirected;        /* a redirection of weft's has led it here; its first destination is not known */
	bool established;       /* a reply of an established connection; else the first packet of a new one */
	uint8_t protocol;       /* IPPROTO_*; 0: TCP */
	uint32_t user, group;   /* of the process that sends it, if that is on the host */
	bool local_destination; /* an address of the host's own; loopback always is */
};

enum ruleset_certainty { RULESET_NO, RULESET_PERHAPS, RULESET_SURELY };

struct ruleset_answer {
	enum ruleset_certainty certainty;
	const struct ruleset_chain *chain; /* the chain that decides */
	const struct ruleset_rule *rule;   /* NULL: by the chain's policy */
	uint64_t way;   /* the rules that the packet meets, as one number: packets with the same one fare alike */
	bool elsewhere; /* a doubt on the way may depend on links, addresses or ports */
};

/*
 * Whether PACKET, at HOOK, is dropped (VERDICT_DROP) or sent elsewhere (VERDICT_REDIRECT) by a chain. The chains of a hook count in the order of their priorities. Returns the first sure answer, else the first
 * perhaps.
 */
struct ruleset_answer inspect_ruleset_ask(const struct ruleset *ruleset, enum ruleset_hook hook,
					  enum ruleset_verdict what, const struct ruleset_packet *packet);

/* The values of a packet at which rules begin or cease to hold. */
enum ruleset_edge { EDGE_PORT, EDGE_USER, EDGE_USER_GROUP };

/*
 * Hands TAKE each value of EDGE that a rule names, and its neighbours: between two of them all values fare alike. Values come
 * several times.
 */
void inspect_ruleset_edges(const struct ruleset *ruleset, enum ruleset_edge edge,
			   void (*take)(void *context, uint32_t value), void *context);

/* The chain NAME in the table of chain BESIDE; NULL: none. */
const struct ruleset_chain *inspect_ruleset_find(const struct ruleset *ruleset, const struct ruleset_chain *beside,
						 const char *name);

#endif
