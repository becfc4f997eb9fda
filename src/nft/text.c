/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each chain, rule, set, element and counter becomes a line, which costs some microseconds: libnftnl takes the message apart
 * and prints it. Slots are alike, though, and a check of thousands meets the same bytes again and again. So the message that
 * was last at the same place of a dump is kept with its lines (a note), and where the bytes are equal the lines are taken from
 * there. What else they depend on, the place of a rule in its chain, is compared too.
 */
#include "nft/text.h"

#include "base/log.h"

#include <endian.h>
#include <libnftnl/chain.h>
#include <libnftnl/object.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_SIZE = 4096, NOTES = 256 /* of one kind */ };

/* One message and what it was written down as. */
struct note {
	void *message; /* NULL: nothing is kept */
	size_t length;
	struct nft_line *lines;
	size_t count;
	char chain[64]; /* of a rule; "" */
	unsigned place;
	char set[64]; /* that it makes; "" */
};

struct nft_memory {
	struct note notes[NFT_TEXT_KINDS][NOTES];
};

static void note_clear(struct note *note)
{
	for (size_t i = 0; i < note->count; i++)
		free(note->lines[i].text);
	free(note->lines);
	free(note->message);
	*note = (struct note){ 0 };
}

struct nft_memory *nft_memory_new(void)
{
	return calloc(1, sizeof(struct nft_memory));
}

void nft_memory_free(struct nft_memory *memory)
{
	for (size_t i = 0; memory && i < NFT_TEXT_KINDS; i++)
		for (size_t j = 0; j < NOTES; j++)
			note_clear(&memory->notes[i][j]);
	free(memory);
}

/* FNV-1a. */
static uint64_t hash_of(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
	return hash;
}

static void put_line(struct nft_text *text, struct nft_line line)
{
	if (text->count == text->room) {
		size_t room = text->room ? 2 * text->room : 256;
		struct nft_line *lines = reallocarray(text->lines, room, sizeof(*lines));
		if (!lines) {
			text->broken = true;
			if (!line.borrowed)
				free(line.text);
			return;
		}
		text->lines = lines;
		text->room = room;
	}
	text->lines[text->count++] = line;
}

static void add_line(struct nft_text *text, const char *line)
{
	char *copy = strdup(line);

	if (copy)
		put_line(text, (struct nft_line){ .hash = hash_of(line), .text = copy });
	else
		text->broken = true;
}

void nft_text_clear(struct nft_text *text)
{
	for (size_t i = 0; i < text->count; i++)
		if (!text->lines[i].borrowed)
			free(text->lines[i].text);
	free(text->lines);
	text->lines = NULL;
	text->count = text->room = text->set_count = text->chain_count = 0;
	text->excess = false;
	memset(text->places, 0, sizeof(text->places));
}

bool nft_text_skips(const struct nft_text *text, const char *name)
{
	for (const char *const *filled = text->filled; filled && *filled; filled++)
		if (strcmp(*filled, name) == 0)
			return true;
	return false;
}

static void add_set(struct nft_text *text, unsigned family, const char *name)
{
	if (text->set_count == NFT_TEXT_SETS) {
		text->excess = true;
		return;
	}
	text->sets[text->set_count].family = family;
	snprintf(text->sets[text->set_count++].name, sizeof(text->sets[0].name), "%s", name);
}

/* How many rules of CHAIN came so far: for the caller to count on. */
static unsigned *rules_of(struct nft_text *text, unsigned family, const char *chain)
{
	static _Thread_local unsigned nowhere;
	size_t i = 0;

	while (i < text->chain_count && (text->chains[i].family != family || strcmp(text->chains[i].name, chain) != 0))
		i++;
	if (i == NFT_TEXT_CHAINS) {
		text->excess = true;
		return &nowhere;
	}
	if (i == text->chain_count) {
		text->chains[i].family = family;
		text->chains[i].rules = 0;
		snprintf(text->chains[i].name, sizeof(text->chains[i].name), "%s", chain);
		text->chain_count++;
	}
	return &text->chains[i].rules;
}

static void remember_rule(struct note *note, const char *chain, unsigned place)
{
	snprintf(note->chain, sizeof(note->chain), "%s", chain);
	note->place = place;
}

static void remember_set(struct note *note, const char *name)
{
	snprintf(note->set, sizeof(note->set), "%s", name);
}

static bool is_ours(const char *table)
{
	return table && strcmp(table, NFT_TABLE_NAME) == 0;
}

static unsigned family_of(const struct nlmsghdr *message)
{
	const struct nfgenmsg *generic = mnl_nlmsg_get_payload(message);

	return generic->nfgen_family;
}

/* ---- One message, one line (or one for each element) ---- */

static void write_table(struct nft_text *text, const struct nlmsghdr *message)
{
	struct nftnl_table *table = nftnl_table_alloc();
	char line[LINE_SIZE];

	if (table && nftnl_table_nlmsg_parse(message, table) == 0 &&
	    is_ours(nftnl_table_get_str(table, NFTNL_TABLE_NAME))) {
		snprintf(line, sizeof(line), "%u table flags %u", family_of(message),
			 nftnl_table_get_u32(table, NFTNL_TABLE_FLAGS));
		add_line(text, line);
	}
	nftnl_table_free(table);
}

static void write_chain(struct nft_text *text, const struct nlmsghdr *message)
{
	struct nftnl_chain *chain = nftnl_chain_alloc();
	char line[LINE_SIZE];

	if (chain && nftnl_chain_nlmsg_parse(message, chain) == 0 &&
	    is_ours(nftnl_chain_get_str(chain, NFTNL_CHAIN_TABLE)) &&
	    !nft_text_skips(text, nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME))) {
		const char *type = nftnl_chain_get_str(chain, NFTNL_CHAIN_TYPE);
		const char *device = nftnl_chain_get_str(chain, NFTNL_CHAIN_DEV);
		const char *name = nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME);
		if (type)
			snprintf(line, sizeof(line), "%u chain %s %s hook %u priority %d policy %u device %s",
				 family_of(message), name, type, nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM),
				 nftnl_chain_get_s32(chain, NFTNL_CHAIN_PRIO),
				 nftnl_chain_get_u32(chain, NFTNL_CHAIN_POLICY), device ? device : "-");
		else
			snprintf(line, sizeof(line), "%u chain %s", family_of(message), name);
		add_line(text, line);
	}
	nftnl_chain_free(chain);
}

/*
 * nft 1.0.6 turns the byte order of one-byte fields in sets of intervals, in units of two bytes: nothing is done. Such an expression
 * makes no difference between rules.
 */
static void cut_idle_expression(char *line)
{
	static const char start_of[] = "  [ byteorder", end_of[] = ", 2, 1) ]\n";
	char *end = strstr(line, end_of), *start = end;

	while (start && start > line && strncmp(start, start_of, sizeof(start_of) - 1) != 0)
		start--;
	if (!start || strcspn(start, "\n") != (size_t)(end - start) + sizeof(end_of) - 2)
		return;
	end += sizeof(end_of) - 1;
	memmove(start, end, strlen(end) + 1);
}

static void write_rule(struct nft_text *text, const struct nlmsghdr *message, struct note *note)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();
	char line[LINE_SIZE];

	if (rule && nftnl_rule_nlmsg_parse(message, rule) == 0 && is_ours(nftnl_rule_get_str(rule, NFTNL_RULE_TABLE)) &&
	    !nft_text_skips(text, nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN))) {
		const char *chain = nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN);
		/* Rules of a chain come in their order, so the place of each is how many came before. */
		unsigned place = (*rules_of(text, family_of(message), chain))++;
		int used = snprintf(line, sizeof(line), "%u rule %s %u ", family_of(message), chain, place);

		if (note)
			remember_rule(note, chain, place);
		nftnl_rule_unset(rule, NFTNL_RULE_HANDLE);
		nftnl_rule_unset(rule, NFTNL_RULE_POSITION);
		nftnl_rule_unset(rule, NFTNL_RULE_USERDATA);
		nftnl_rule_snprintf(line + used, sizeof(line) - (size_t)used, rule, NFTNL_OUTPUT_DEFAULT, 0);
		cut_idle_expression(line + used);
		add_line(text, line);
	}
	nftnl_rule_free(rule);
}

static void write_set(struct nft_text *text, const struct nlmsghdr *message, struct note *note)
{
	struct nftnl_set *set = nftnl_set_alloc();
	char line[LINE_SIZE];

	if (set && nftnl_set_nlmsg_parse(message, set) == 0 && is_ours(nftnl_set_get_str(set, NFTNL_SET_TABLE))) {
		snprintf(line, sizeof(line), "%u set %s flags %u key %u %u data %u %u timeout %llu size %u",
			 family_of(message), nftnl_set_get_str(set, NFTNL_SET_NAME),
			 nftnl_set_get_u32(set, NFTNL_SET_FLAGS), nftnl_set_get_u32(set, NFTNL_SET_KEY_TYPE),
			 nftnl_set_get_u32(set, NFTNL_SET_KEY_LEN), nftnl_set_get_u32(set, NFTNL_SET_DATA_TYPE),
			 nftnl_set_get_u32(set, NFTNL_SET_DATA_LEN),
			 (unsigned long long)nftnl_set_get_u64(set, NFTNL_SET_TIMEOUT),
			 nftnl_set_get_u32(set, NFTNL_SET_DESC_SIZE));
		add_line(text, line);
		add_set(text, family_of(message), nftnl_set_get_str(set, NFTNL_SET_NAME));
		if (note)
			remember_set(note, nftnl_set_get_str(set, NFTNL_SET_NAME));
	}
	nftnl_set_free(set);
}

static void write_object(struct nft_text *text, const struct nlmsghdr *message)
{
	struct nftnl_obj *object = nftnl_obj_alloc();
	char line[LINE_SIZE];

	if (object && nftnl_obj_nlmsg_parse(message, object) == 0 &&
	    is_ours(nftnl_obj_get_str(object, NFTNL_OBJ_TABLE))) {
		snprintf(line, sizeof(line), "%u object %u %s", family_of(message),
			 nftnl_obj_get_u32(object, NFTNL_OBJ_TYPE), nftnl_obj_get_str(object, NFTNL_OBJ_NAME));
		add_line(text, line);
	}
	nftnl_obj_free(object);
}

static size_t write_bytes(char *line, size_t size, size_t used, const char *label, const struct nlattr *data)
{
	const struct nlattr *value;

	nft_for_each_nested(value, data)
	{
		const uint8_t *bytes = mnl_attr_get_payload(value);
		if (mnl_attr_get_type(value) != NFTA_DATA_VALUE)
			continue;
		used += (size_t)snprintf(line + used, size - used, " %s ", label);
		for (size_t i = 0; i < mnl_attr_get_payload_len(value) && i < 64; i++)
			used += (size_t)snprintf(line + used, size - used, "%02x", bytes[i]);
	}
	return used;
}

static void write_element(struct nft_text *text, unsigned family, const char *set, const struct nlattr *item)
{
	char line[LINE_SIZE];
	size_t used = (size_t)snprintf(line, sizeof(line), "%u element %s", family, set);
	const struct nlattr *parts[NFTA_SET_ELEM_MAX + 1] = { NULL }, *attr;

	nft_for_each_nested(attr, item)
	{
		if (mnl_attr_get_type(attr) <= NFTA_SET_ELEM_MAX)
			parts[mnl_attr_get_type(attr)] = attr;
	}
	if (parts[NFTA_SET_ELEM_KEY])
		used = write_bytes(line, sizeof(line), used, "key", parts[NFTA_SET_ELEM_KEY]);
	if (parts[NFTA_SET_ELEM_KEY_END])
		used = write_bytes(line, sizeof(line), used, "to", parts[NFTA_SET_ELEM_KEY_END]);
	if (parts[NFTA_SET_ELEM_DATA])
		used = write_bytes(line, sizeof(line), used, "data", parts[NFTA_SET_ELEM_DATA]);
	if (parts[NFTA_SET_ELEM_FLAGS])
		snprintf(line + used, sizeof(line) - used, " flags %u",
			 be32toh(mnl_attr_get_u32(parts[NFTA_SET_ELEM_FLAGS])));
	/* nft(8) begins each set of intervals with an end at 0.0.0.0, which means nothing. */
	if (!strstr(line, " key 00000000 flags 1"))
		add_line(text, line);
}

static void write_elements(struct nft_text *text, const struct nlmsghdr *message)
{
	const char *table = NULL, *set = NULL;
	const struct nlattr *attr, *item, *list = NULL;

	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_TABLE)
			table = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_SET)
			set = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_ELEMENTS)
			list = attr;
	}
	if (!is_ours(table) || !set || !list || nft_text_skips(text, set))
		return;
	nft_for_each_nested(item, list)
	{
		write_element(text, family_of(message), set, item);
	}
}

static void decode(struct nft_text *text, const struct nlmsghdr *message, struct note *note)
{
	switch (NFNL_MSG_TYPE(message->nlmsg_type)) {
	case NFT_MSG_NEWTABLE:
		write_table(text, message);
		break;
	case NFT_MSG_NEWCHAIN:
		write_chain(text, message);
		break;
	case NFT_MSG_NEWRULE:
		write_rule(text, message, note);
		break;
	case NFT_MSG_NEWSET:
		write_set(text, message, note);
		break;
	case NFT_MSG_NEWSETELEM:
		write_elements(text, message);
		break;
	case NFT_MSG_NEWOBJ:
		write_object(text, message);
		break;
	}
}

/* ---- The memory ---- */

/* The kind's number; -1 for a message that is not written down. */
static int kind_of(const struct nlmsghdr *message)
{
	switch (NFNL_MSG_TYPE(message->nlmsg_type)) {
	case NFT_MSG_NEWTABLE:
		return 0;
	case NFT_MSG_NEWCHAIN:
		return 1;
	case NFT_MSG_NEWRULE:
		return 2;
	case NFT_MSG_NEWSET:
		return 3;
	case NFT_MSG_NEWSETELEM:
		return 4;
	case NFT_MSG_NEWOBJ:
		return 5;
	}
	return -1;
}

/* What a message says, without the generation and sequence numbers in its headers. */
static const void *content_of(const struct nlmsghdr *message, size_t *length)
{
	*length = mnl_nlmsg_get_payload_len(message) - sizeof(struct nfgenmsg);
	return mnl_nlmsg_get_payload_offset(message, sizeof(struct nfgenmsg));
}

/* The family comes first in what is kept, then the content. */
static bool is_noted(const struct note *note, const struct nlmsghdr *message)
{
	size_t length;
	const void *content = content_of(message, &length);
	const uint8_t *kept = note->message;

	return kept && note->length == length + 1 && kept[0] == family_of(message) &&
	       memcmp(kept + 1, content, length) == 0;
}

/* Takes the lines of a note, if they are those of the next message; false: they are not. */
static bool recall(struct nft_text *text, const struct note *note, const struct nlmsghdr *message)
{
	if (!is_noted(note, message))
		return false;
	if (note->chain[0]) {
		unsigned *rules = rules_of(text, family_of(message), note->chain);

		if (*rules != note->place)
			return false;
		++*rules;
	}
	if (note->set[0])
		add_set(text, family_of(message), note->set);
	for (size_t i = 0; i < note->count; i++) {
		struct nft_line line = note->lines[i];

		line.borrowed = true;
		put_line(text, line);
	}
	return true;
}

/* Keeps MESSAGE with the lines from FIRST on, which are the note's from now on. Without memory for it nothing is kept. */
static void remember(struct nft_text *text, struct note *note, const struct nlmsghdr *message, size_t first)
{
	size_t length, count = text->count - first;
	const void *content = content_of(message, &length);
	uint8_t *kept = malloc(length + 1);
	struct nft_line *lines = calloc(count + 1, sizeof(*lines));

	if (!kept || !lines) {
		free(kept);
		free(lines);
		return;
	}
	kept[0] = (uint8_t)family_of(message);
	memcpy(kept + 1, content, length);
	note->message = kept;
	note->length = length + 1;
	note->lines = lines;
	note->count = count;
	for (size_t i = 0; i < count; i++) {
		lines[i] = text->lines[first + i];
		text->lines[first + i].borrowed = true;
	}
}

void nft_text_write(struct nft_text *text, const struct nlmsghdr *message)
{
	int kind = kind_of(message);
	size_t first = text->count, place;
	struct note *note;

	if (kind < 0 || !text->families[family_of(message)])
		return;
	place = text->places[kind]++;
	note = text->memory && place < NOTES ? &text->memory->notes[kind][place] : NULL;
	if (note && recall(text, note, message))
		return;
	if (note)
		note_clear(note);
	decode(text, message, note);
	if (note && !text->broken)
		remember(text, note, message, first);
}

/* ---- Comparing ---- */

static int compare_lines(const void *a, const void *b)
{
	const struct nft_line *left = a, *right = b;

	if (left->hash != right->hash)
		return left->hash < right->hash ? -1 : 1;
	return strcmp(left->text, right->text);
}

static void sort_lines(struct nft_text *text)
{
	if (text->count)
		qsort(text->lines, text->count, sizeof(text->lines[0]), compare_lines);
}

bool nft_text_equal(struct nft_text *should, struct nft_text *is)
{
	if (should->excess || is->excess) {
		log_debug("nftables differ", F_STR("found", "more chains or sets than are ours"));
		return false;
	}
	sort_lines(should);
	sort_lines(is);
	for (size_t i = 0; i < should->count || i < is->count; i++) {
		const struct nft_line *wanted = i < should->count ? &should->lines[i] : NULL;
		const struct nft_line *found = i < is->count ? &is->lines[i] : NULL;

		if (wanted && found && compare_lines(wanted, found) == 0)
			continue;
		log_debug("nftables differ", F_STR("wanted", wanted ? wanted->text : NULL),
			  F_STR("found", found ? found->text : NULL));
		return false;
	}
	return true;
}
