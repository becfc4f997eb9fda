/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads iptables' legacy tables into the model. The kernel returns a table as one blob of entries, each with its conditions, a
 * target and the offset of the next. A chain of the user's begins with an entry whose target is ERROR and carries its name. The
 * blob comes from the kernel, but each offset is checked as if it did not.
 *
 * Only tables named in /proc/net/ip_tables_names are read: a request for another one would create it.
 */
#include "inspect/ruleset.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <netinet/in.h>

#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { AT_SOURCE = 12, AT_DESTINATION = 16 }; /* in the IPv4 header */
enum { TABLE_SIZE_MAX = 256 << 20 };          /* half a million rules; a reading must not take all memory */

/* A table as the kernel returned it. */
struct blob {
	const char *table;
	const struct ipt_getinfo *info;
	const char *bytes;
	unsigned size;
};

/* The entry at OFFSET; NULL if there is no room for a whole one. */
static const struct ipt_entry *inspect_ruleset_legacy_entry_at(const struct blob *blob, unsigned offset)
{
	const struct ipt_entry *entry = (const struct ipt_entry *)(blob->bytes + offset);

	if (offset % __alignof__(struct ipt_entry) || offset + sizeof(*entry) > blob->size)
		return NULL;
	if (entry->target_offset < sizeof(*entry) || entry->target_offset % __alignof__(struct xt_entry_target) ||
	    entry->target_offset + sizeof(struct xt_entry_target) > entry->next_offset ||
	    entry->next_offset > blob->size - offset)
		return NULL;
	return entry;
}

static const struct xt_entry_target *inspect_ruleset_legacy_target_of(const struct ipt_entry *entry)
{
	return (const struct xt_entry_target *)((const char *)entry + entry->target_offset);
}

static bool inspect_ruleset_legacy_is_named(const struct xt_entry_target *target, const char *name)
{
	return strncmp(target->u.user.name, name, sizeof(target->u.user.name)) == 0;
}

/* Finds the name of the user's chain whose first rule is at WANTED, in the ERROR entry before it. */
static void inspect_ruleset_legacy_chain_name_at(const struct blob *blob, unsigned wanted,
						 char name[static RULESET_NAME_SIZE])
{
	const struct ipt_entry *entry;

	snprintf(name, RULESET_NAME_SIZE, "?");
	for (unsigned offset = 0; (entry = inspect_ruleset_legacy_entry_at(blob, offset));
	     offset += entry->next_offset) {
		const struct xt_error_target *target = (const void *)inspect_ruleset_legacy_target_of(entry);
		if (offset + entry->next_offset == wanted &&
		    inspect_ruleset_legacy_is_named(&target->target, XT_ERROR_TARGET) &&
		    entry->target_offset + sizeof(*target) <= entry->next_offset)
			snprintf(name, RULESET_NAME_SIZE, "%.*s", (int)sizeof(target->errorname) - 1,
				 target->errorname);
	}
}

/* Adds the steps for "FIELD & MASK is, or with INVERTED is not, VALUE". */
static void inspect_ruleset_legacy_add_condition(struct ruleset_rule *rule, const struct ruleset_step *load,
						 const void *mask, const void *value, bool inverted)
{
	struct ruleset_step masking = { .kind = STEP_MASK, .length = load->length };
	struct ruleset_step comparing = { .kind = STEP_COMPARE, .length = load->length, .inverted = inverted };

	memcpy(masking.a, mask, load->length);
	memcpy(comparing.a, value, load->length);
	inspect_ruleset_add_step(rule, load);
	inspect_ruleset_add_step(rule, &masking);
	inspect_ruleset_add_step(rule, &comparing);
}

static void inspect_ruleset_legacy_add_name(struct ruleset_rule *rule, enum ruleset_field field, const char *name,
					    const unsigned char *mask, bool inverted)
{
	struct ruleset_step load = { .kind = STEP_LOAD, .field = field, .length = IFNAMSIZ };
	char masked[IFNAMSIZ];

	if (!mask[0])
		return;
	for (int i = 0; i < IFNAMSIZ; i++)
		masked[i] = (char)((unsigned char)name[i] & mask[i]);
	inspect_ruleset_legacy_add_condition(rule, &load, mask, masked, inverted);
}

static void inspect_ruleset_legacy_add_address(struct ruleset_rule *rule, uint8_t offset, struct in_addr address,
					       struct in_addr mask, bool inverted)
{
	struct ruleset_step load = { .kind = STEP_LOAD, .field = FIELD_NETWORK, .offset = offset, .length = 4 };

	if (mask.s_addr || inverted)
		inspect_ruleset_legacy_add_condition(rule, &load, &mask, &address, inverted);
}

static void inspect_ruleset_legacy_add_conditions(struct ruleset_rule *rule, const struct ipt_entry *entry)
{
	const struct ruleset_step load_protocol = { .kind = STEP_LOAD, .field = FIELD_L4PROTO, .length = 1 };
	const struct ipt_ip *ip = &entry->ip;
	unsigned offset = sizeof(*entry);

	inspect_ruleset_legacy_add_name(rule, FIELD_IIFNAME, ip->iniface, ip->iniface_mask,
					ip->invflags & IPT_INV_VIA_IN);
	inspect_ruleset_legacy_add_name(rule, FIELD_OIFNAME, ip->outiface, ip->outiface_mask,
					ip->invflags & IPT_INV_VIA_OUT);
	inspect_ruleset_legacy_add_address(rule, AT_SOURCE, ip->src, ip->smsk, ip->invflags & IPT_INV_SRCIP);
	inspect_ruleset_legacy_add_address(rule, AT_DESTINATION, ip->dst, ip->dmsk, ip->invflags & IPT_INV_DSTIP);
	/* Packets of ours are whole. */
	if (ip->flags & IPT_F_FRAG && !(ip->invflags & IPT_INV_FRAG))
		inspect_ruleset_add_step(rule, &(struct ruleset_step){ .kind = STEP_NEVER });
	if (ip->proto) {
		const uint8_t mask = 0xff, protocol = (uint8_t)ip->proto;
		inspect_ruleset_legacy_add_condition(rule, &load_protocol, &mask, &protocol,
						     ip->invflags & IPT_INV_PROTO);
	}
	while (offset + sizeof(struct xt_entry_match) <= entry->target_offset) {
		const struct xt_entry_match *match = (const void *)((const char *)entry + offset);
		char name[XT_EXTENSION_MAXNAMELEN];
		if (match->u.match_size < sizeof(*match) || match->u.match_size % __alignof__(struct xt_entry_match) ||
		    match->u.match_size > entry->target_offset - offset)
			break;
		snprintf(name, sizeof(name), "%.*s", (int)sizeof(name) - 1, match->u.user.name);
		inspect_ruleset_add_xt_match(rule, name, match->u.user.revision, match->data,
					     match->u.match_size - sizeof(*match));
		offset += match->u.match_size;
	}
}

/* A verdict below 0 is -(verdict) - 1; from 0 on it is the offset of a jump. */
static void inspect_ruleset_legacy_set_target(const struct blob *blob, struct ruleset_rule *rule,
					      const struct ipt_entry *entry, unsigned offset)
{
	const struct xt_entry_target *target = inspect_ruleset_legacy_target_of(entry);
	const struct xt_standard_target *standard = (const void *)target;
	char name[XT_EXTENSION_MAXNAMELEN];

	if (!inspect_ruleset_legacy_is_named(target, XT_STANDARD_TARGET)) {
		snprintf(name, sizeof(name), "%.*s", (int)sizeof(name) - 1, target->u.user.name);
		inspect_ruleset_set_xt_target(rule, name, target->u.user.revision, target->data,
					      entry->next_offset - entry->target_offset - sizeof(*target));
		return;
	}
	rule->verdict = VERDICT_UNKNOWN;
	if (entry->target_offset + sizeof(*standard) > entry->next_offset)
		return;
	int verdict = standard->verdict;
	if (verdict == -NF_ACCEPT - 1)
		rule->verdict = VERDICT_ACCEPT;
	else if (verdict == -NF_DROP - 1)
		rule->verdict = VERDICT_DROP;
	else if (verdict == XT_RETURN)
		rule->verdict = VERDICT_RETURN;
	else if (verdict >= 0 && (unsigned)verdict == offset + entry->next_offset)
		rule->verdict = VERDICT_NONE;
	else if (verdict >= 0) {
		rule->verdict = entry->ip.flags & IPT_F_GOTO ? VERDICT_GOTO : VERDICT_JUMP;
		inspect_ruleset_legacy_chain_name_at(blob, (unsigned)verdict, rule->target);
	}
}

static int32_t inspect_ruleset_legacy_priority(const char *table, enum ruleset_hook hook)
{
	static const struct {
		const char *table;
		int32_t priority;
	} priorities[] = {
		{ "raw", NF_IP_PRI_RAW },
		{ "mangle", NF_IP_PRI_MANGLE },
		{ "nat", NF_IP_PRI_NAT_DST },
		{ "security", NF_IP_PRI_SECURITY },
	};

	if (strcmp(table, "nat") == 0 && (hook == HOOK_INPUT || hook == HOOK_POSTROUTING))
		return NF_IP_PRI_NAT_SRC;
	for (size_t i = 0; i < sizeof(priorities) / sizeof(priorities[0]); i++)
		if (strcmp(table, priorities[i].table) == 0)
			return priorities[i].priority;
	return NF_IP_PRI_FILTER;
}

static struct ruleset_chain *inspect_ruleset_legacy_begin_chain(struct ruleset *ruleset, const struct blob *blob,
								unsigned offset)
{
	static const char *const hooks[] = { "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING" };
	struct ruleset_chain *chain = inspect_ruleset_add_chain(ruleset);

	if (!chain)
		return NULL;
	chain->legacy = true;
	snprintf(chain->family, sizeof(chain->family), "ip");
	snprintf(chain->table, sizeof(chain->table), "%s", blob->table);
	for (unsigned hook = 0; hook < NF_INET_NUMHOOKS; hook++) {
		if (blob->info->valid_hooks & 1u << hook && blob->info->hook_entry[hook] == offset) {
			chain->hook = (enum ruleset_hook)hook;
			chain->priority = inspect_ruleset_legacy_priority(blob->table, chain->hook);
			snprintf(chain->name, sizeof(chain->name), "%s", hooks[hook]);
			return chain;
		}
	}
	inspect_ruleset_legacy_chain_name_at(blob, offset, chain->name);
	return chain;
}

static bool inspect_ruleset_legacy_begins_chain(const struct blob *blob, unsigned offset)
{
	for (unsigned hook = 0; hook < NF_INET_NUMHOOKS; hook++)
		if (blob->info->valid_hooks & 1u << hook && blob->info->hook_entry[hook] == offset)
			return true;
	return false;
}

/* The last rule of a built-in chain is its policy. */
static bool inspect_ruleset_legacy_is_policy(const struct blob *blob, const struct ruleset_chain *chain,
					     unsigned offset)
{
	return chain->hook != HOOK_NONE && blob->info->underflow[chain->hook] == offset;
}

/* Adds ENTRY to CHAIN as a rule, or as its policy. 0, or -1 without memory. */
static int inspect_ruleset_legacy_add_entry(struct ruleset_chain *chain, const struct blob *blob,
					    const struct ipt_entry *entry, unsigned offset)
{
	struct ruleset_rule rule = { 0 }, *added = NULL;

	inspect_ruleset_legacy_add_conditions(&rule, entry);
	inspect_ruleset_legacy_set_target(blob, &rule, entry, offset);
	bool policy = inspect_ruleset_legacy_is_policy(blob, chain, offset);
	if (policy)
		chain->drops = rule.verdict == VERDICT_DROP;
	else if (!rule.incomplete)
		added = inspect_ruleset_add_rule(chain);
	if (added)
		*added = rule;
	else
		inspect_ruleset_clear_rule(&rule);
	return policy || added ? 0 : -1;
}

/* 0, or -1 without memory. */
static int inspect_ruleset_legacy_read_blob(struct ruleset *ruleset, const struct blob *blob)
{
	struct ruleset_chain *chain = NULL;
	const struct ipt_entry *entry;

	for (unsigned offset = 0; (entry = inspect_ruleset_legacy_entry_at(blob, offset));
	     offset += entry->next_offset) {
		bool ends = inspect_ruleset_legacy_is_named(inspect_ruleset_legacy_target_of(entry), XT_ERROR_TARGET);
		/* The very last entry is an ERROR too, with nothing after it. */
		unsigned begin = ends ? offset + entry->next_offset : offset;

		if (ends)
			chain = NULL;
		if (ends ? inspect_ruleset_legacy_entry_at(blob, begin) != NULL
			 : inspect_ruleset_legacy_begins_chain(blob, begin)) {
			chain = inspect_ruleset_legacy_begin_chain(ruleset, blob, begin);
			if (!chain)
				return -1;
		}
		if (!ends && chain && inspect_ruleset_legacy_add_entry(chain, blob, entry, offset) < 0)
			return -1;
	}
	return 0;
}

static int inspect_ruleset_legacy_read_table(struct ruleset *ruleset, int fd, const char *table, struct err *err)
{
	struct ipt_getinfo info = { 0 };
	socklen_t length = sizeof(info);

	snprintf(info.name, sizeof(info.name), "%.31s", table);
	if (getsockopt(fd, IPPROTO_IP, IPT_SO_GET_INFO, &info, &length) < 0)
		return err_set(err, errno, "iptables-legacy table %s", table);
	if (info.size > TABLE_SIZE_MAX)
		return err_set(err, EFBIG, "iptables-legacy table %s of %u bytes", table, info.size);
	length = (socklen_t)(sizeof(struct ipt_get_entries) + info.size);
	AUTO_FREE struct ipt_get_entries *entries = calloc(1, length);
	if (!entries)
		return err_set(err, ENOMEM, "iptables-legacy table %s", table);
	memcpy(entries->name, info.name, sizeof(entries->name));
	entries->size = info.size;
	if (getsockopt(fd, IPPROTO_IP, IPT_SO_GET_ENTRIES, entries, &length) < 0)
		return err_set(err, errno, "iptables-legacy table %s", table);
	struct blob blob = { table, &info, (const char *)entries->entrytable, info.size };
	if (inspect_ruleset_legacy_read_blob(ruleset, &blob) < 0)
		return err_set(err, ENOMEM, "iptables-legacy table %s", table);
	return 0;
}

int inspect_ruleset_read_legacy(struct ruleset *ruleset, struct err *err)
{
	FILE *names = fopen("/proc/net/ip_tables_names", "re");
	char table[64];
	int result = 0;

	if (!names)
		return 0;
	while (result == 0 && fscanf(names, "%63s", table) == 1) {
		AUTO_FD int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
		if (fd < 0)
			result = err_set(err, errno, "iptables-legacy table %s", table);
		else
			result = inspect_ruleset_legacy_read_table(ruleset, fd, table, err);
	}
	fclose(names);
	return result;
}
