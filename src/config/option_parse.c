/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the text of one value. Each type has one strict reader: either the whole text is the value, or it is a mistake with a
 * reason. Nothing is stored before the whole text was read.
 */
#include "config/config.h"
#include "config/option.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int config_option_refuse(char *why, const char *reason)
{
	snprintf(why, OPTION_WHY_SIZE, "%s", reason);
	return -1;
}

static bool config_option_is_digits(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	return length > 0;
}

/* The number at the start of TEXT; *REST follows it. At most 10 digits, so that nothing here can overflow. */
static int config_option_leading_number(const char *text, uint64_t *number, const char **rest, char *why)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0)
		return config_option_refuse(why, "not a number");
	if (digits > 10)
		return config_option_refuse(why, "too large");
	*number = strtoull(text, NULL, 10);
	*rest = text + digits;
	return 0;
}

static int config_option_within(const struct option *option, uint64_t number, unsigned *value, char *why)
{
	if (number < option->min)
		return config_option_refuse(why, "too small");
	if (number > option->max)
		return config_option_refuse(why, "too large");
	*value = (unsigned)number;
	return 0;
}

static int config_option_read_count(const struct option *option, const char *text, unsigned *value, char *why)
{
	uint64_t number;
	const char *rest;

	if (option->word && strcmp(text, option->word) == 0) {
		*value = 0;
		return 0;
	}
	if (config_option_leading_number(text, &number, &rest, why) < 0)
		return -1;
	if (*rest)
		return config_option_refuse(why, "not a number");
	return config_option_within(option, number, value, why);
}

static int config_option_read_size(const struct option *option, const char *text, unsigned *value, char *why)
{
	static const char suffixes[] = "KMG";
	uint64_t number;
	const char *rest;

	if (option->word && strcmp(text, option->word) == 0) {
		*value = 0;
		return 0;
	}
	if (config_option_leading_number(text, &number, &rest, why) < 0)
		return -1;
	if (*rest) {
		const char *suffix = strchr(suffixes, *rest);

		if (!suffix || rest[1])
			return config_option_refuse(why, "not a size");
		number <<= 10 * (suffix - suffixes + 1);
	}
	return config_option_within(option, number, value, why);
}

static int config_option_read_duration(const struct option *option, const char *text, unsigned *value, char *why)
{
	uint64_t number;
	const char *unit;

	if (config_option_leading_number(text, &number, &unit, why) < 0)
		return -1;
	if (number == 0 && option->min != 1 && !*unit) {
		*value = 0;
		return 0;
	}
	if (!*unit)
		return config_option_refuse(why, "no unit");
	if (strcmp(unit, "s") == 0)
		number *= 1000;
	else if (strcmp(unit, "m") == 0)
		number *= 60000;
	else if (strcmp(unit, "ms") != 0)
		return config_option_refuse(why, "not a duration");
	if (number == 0 && option->min != 1) {
		*value = 0;
		return 0;
	}
	return config_option_within(option, number, value, why);
}

static int config_option_read_range(const char *text, uint16_t *first, uint16_t *last, char *why)
{
	const char *dash = strchr(text, '-');
	uint16_t low, high;

	if (!dash || addr_port_parse(text, (size_t)(dash - text), &low) < 0 ||
	    addr_port_parse(dash + 1, strlen(dash + 1), &high) < 0)
		return config_option_refuse(why, "not a range of ports");
	if (low > high)
		return config_option_refuse(why, "the first is above the last");
	*first = low;
	*last = high;
	return 0;
}

static int config_option_read_bool(const char *text, bool *value, char *why)
{
	if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
		return config_option_refuse(why, "neither yes nor no");
	*value = *text == 'y';
	return 0;
}

static int config_option_read_choice(const struct option *option, const char *text, unsigned *value, char *why)
{
	for (unsigned i = 0; option->words[i]; i++) {
		if (strcmp(option->words[i], text) == 0) {
			*value = i;
			return 0;
		}
	}
	return config_option_refuse(why, "none of the words");
}

static int config_option_read_string(const struct option *option, const char *text, char **value, char *why)
{
	size_t length = strlen(text);

	if (length < option->min)
		return config_option_refuse(why, length ? "too short" : "empty");
	if (length > option->max)
		return config_option_refuse(why, "too long");
	for (const char *c = text; *c; c++)
		if (!isgraph((unsigned char)*c))
			return config_option_refuse(why, "blanks or control characters");

	char *copy = length ? strdup(text) : NULL;
	if (length && !copy)
		return config_option_refuse(why, "out of memory");
	free(*value);
	*value = copy;
	return 0;
}

/* As the API reads them, one with bits beyond its length is the network that it lies in, and WHY warns. */
static void config_option_take_network(struct cidr4 *read, char *why)
{
	char taken[CIDR4_TEXT_SIZE];

	if (read->ip == addr_cidr4_first(read))
		return;
	read->ip = addr_cidr4_first(read);
	snprintf(why, OPTION_WHY_SIZE, "bits are set beyond the length; it is read as %s",
		 addr_cidr4_format(read, taken));
}

static int config_option_read_network(const char *text, struct cidr4 *network, char *why)
{
	if (addr_cidr4_parse(text, network) < 0)
		return config_option_refuse(why, "not an IPv4 network");
	config_option_take_network(network, why);
	return 0;
}

static int config_option_read_cidr(const struct option *option, const char *text, struct cidr4 *cidr, char *why)
{
	struct cidr4 read;

	if (!strchr(text, '/'))
		return config_option_refuse(why, "no /LENGTH");
	if (addr_cidr4_parse(text, &read) < 0)
		return config_option_refuse(why, "not an IPv4 address with /LENGTH");
	if (read.length < option->min)
		return config_option_refuse(why, "the length is too small");
	if (read.length > option->max)
		return config_option_refuse(why, "the length is too large");
	if (option->type == OPTION_NETWORK)
		config_option_take_network(&read, why);
	*cidr = read;
	return 0;
}

static int config_option_read_mac(const char *text, struct mac *mac, char *why)
{
	static const struct mac none;
	struct mac read;

	if (addr_mac_parse(text, &read) < 0)
		return config_option_refuse(why, "not a MAC");
	if (read.octets[0] & 1 || addr_mac_equal(&read, &none))
		return config_option_refuse(why, "not a unicast MAC");
	*mac = read;
	return 0;
}

static int config_option_add_listen(const char *text, struct addr_list *list, char *why)
{
	struct addr addr;

	if (addr_parse(text, &addr) < 0)
		return config_option_refuse(why, "not an address with a port");
	for (size_t i = 0; i < list->count; i++)
		if (addr_equal(&list->items[i], &addr))
			return config_option_refuse(why, "given twice");

	struct addr *item = vec_push(list);
	if (!item)
		return config_option_refuse(why, "out of memory");
	*item = addr;
	return 0;
}

static int config_option_add_service(const char *text, struct config_service_list *list, char *why)
{
	struct config_service service;
	const char *fault = config_service_parse(text, &service);

	if (fault)
		return config_option_refuse(why, fault);
	for (size_t i = 0; i < list->count; i++)
		if (addr_equal(&list->items[i].address, &service.address))
			return config_option_refuse(why, "the address has a service already");

	struct config_service *item = vec_push(list);
	if (!item)
		return config_option_refuse(why, "out of memory");
	*item = service;
	return 0;
}

static int config_option_add_redirect(const char *text, struct config_redirect_list *list, char *why)
{
	struct config_redirect redirect;
	const char *fault = config_redirect_parse(text, &redirect);

	if (fault)
		return config_option_refuse(why, fault);
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].port == redirect.port)
			return config_option_refuse(why, "the port is redirected already");

	struct config_redirect *item = vec_push(list);
	if (!item)
		return config_option_refuse(why, "out of memory");
	*item = redirect;
	return 0;
}

static int config_option_add_network(const struct option *option, const char *text, struct cidr4_list *list, char *why)
{
	struct cidr4 cidr;

	if (option->type == OPTION_IP_LIST && strchr(text, '/'))
		return config_option_refuse(why, "a network, not an address");
	if (config_option_read_network(text, &cidr, why) < 0)
		return -1;
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].ip == cidr.ip && list->items[i].length == cidr.length)
			return config_option_refuse(why, "given twice");

	struct cidr4 *item = vec_push(list);
	if (!item)
		return config_option_refuse(why, "out of memory");
	*item = cidr;
	return 0;
}

static int config_option_read_mac_or_learn(const char *text, struct mac *mac, bool *learn, char *why)
{
	if (strcmp(text, "learn") == 0) {
		*learn = true;
		return 0;
	}
	if (config_option_read_mac(text, mac, why) < 0)
		return -1;
	*learn = false;
	return 0;
}

/* (uid_t)-1 is no user. */
static int config_option_read_id(const char *text, char end, uint32_t *id, const char **rest)
{
	char *after;

	if (!isdigit((unsigned char)*text))
		return -1;
	errno = 0;
	unsigned long value = strtoul(text, &after, 10);
	if (errno || value >= UINT32_MAX || *after != end)
		return -1;
	*id = (uint32_t)value;
	*rest = after + 1;
	return 0;
}

static int config_option_read_owner(const char *text, struct config_owner *owner, char *why)
{
	uint32_t uid, gid;

	if (!*text) {
		*owner = (struct config_owner){ 0 };
		return 0;
	}
	if (config_option_read_id(text, ':', &uid, &text) < 0 || config_option_read_id(text, '\0', &gid, &text) < 0)
		return config_option_refuse(why, "not two numbers with a colon between");
	*owner = (struct config_owner){ .set = true, .uid = uid, .gid = gid };
	return 0;
}

/* NUMBER or FIRST-LAST, and nothing else. */
static bool config_option_is_ids(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits && (!text[digits] || (text[digits] == '-' &&
					    config_option_is_digits(text + digits + 1, strlen(text + digits + 1))));
}

static int config_option_read_ids(const char *text, struct config_users *users, char *why)
{
	const char *dash = strchr(text, '-'), *rest = text;

	if (config_option_read_id(text, dash ? '-' : '\0', &users->first, &rest) < 0)
		return config_option_refuse(why, "no id is so large");
	users->last = users->first;
	if (dash && config_option_read_id(rest, '\0', &users->last, &rest) < 0)
		return config_option_refuse(why, "no id is so large");
	if (users->last < users->first)
		return config_option_refuse(why, "ends before it begins");
	return 0;
}

/* As sudoers(5) has them: a group begins with '%'. */
static int config_option_read_users(const char *text, struct config_users *users, char *why)
{
	users->group = *text == '%';
	text += users->group;
	if (config_option_is_ids(text))
		return config_option_read_ids(text, users, why);
	if (!*text || *text == '-' || strpbrk(text, "%,:/"))
		return config_option_refuse(why, users->group ? "not the name of a group" : "not the name of a user");
	for (const char *c = text; *c; c++)
		if (isspace((unsigned char)*c) || iscntrl((unsigned char)*c))
			return config_option_refuse(why, "blanks or control characters");
	if (snprintf(users->name, sizeof(users->name), "%s", text) >= (int)sizeof(users->name))
		return config_option_refuse(why, "too long");
	return 0;
}

static int config_option_add_users(const char *text, struct config_users_list *list, char *why)
{
	struct config_users users = { 0 };

	if (config_option_read_users(text, &users, why) < 0)
		return -1;
	for (size_t i = 0; i < list->count; i++) {
		const struct config_users *other = &list->items[i];
		if (other->group == users.group && strcmp(other->name, users.name) == 0 &&
		    other->first == users.first && other->last == users.last)
			return config_option_refuse(why, "given twice");
	}

	struct config_users *item = vec_push(list);
	if (!item)
		return config_option_refuse(why, "out of memory");
	*item = users;
	return 0;
}

int config_option_set(const struct option *option, struct config *config, const char *value,
		      char why[static OPTION_WHY_SIZE])
{
	void *place = (char *)config + option->offset;
	void *second = (char *)config + option->second;

	*why = '\0';
	if (config_option_is_list(option) && !*value)
		return 0;
	switch (option->type) {
	case OPTION_STRING:
		return config_option_read_string(option, value, place, why);
	case OPTION_COUNT:
		return config_option_read_count(option, value, place, why);
	case OPTION_SIZE:
		return config_option_read_size(option, value, place, why);
	case OPTION_DURATION:
		return config_option_read_duration(option, value, place, why);
	case OPTION_PORT:
		return addr_port_parse(value, strlen(value), place) < 0 ? config_option_refuse(why, "not a port") : 0;
	case OPTION_RANGE:
		return config_option_read_range(value, place, second, why);
	case OPTION_BOOL:
		return config_option_read_bool(value, place, why);
	case OPTION_CHOICE:
		return config_option_read_choice(option, value, place, why);
	case OPTION_NETWORK:
	case OPTION_INTERFACE:
		return config_option_read_cidr(option, value, place, why);
	case OPTION_MAC:
		return config_option_read_mac(value, place, why);
	case OPTION_MAC_OR_LEARN:
		return config_option_read_mac_or_learn(value, place, second, why);
	case OPTION_LISTEN_LIST:
		return config_option_add_listen(value, place, why);
	case OPTION_SERVICE_LIST:
		return config_option_add_service(value, place, why);
	case OPTION_REDIRECT_LIST:
		return config_option_add_redirect(value, place, why);
	case OPTION_NETWORK_LIST:
	case OPTION_IP_LIST:
		return config_option_add_network(option, value, place, why);
	case OPTION_USERS_LIST:
		return config_option_add_users(value, place, why);
	case OPTION_OWNER:
		return config_option_read_owner(value, place, why);
	}
	return config_option_refuse(why, "of no known type");
}
