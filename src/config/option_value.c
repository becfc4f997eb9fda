/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The value of one option as text: set, print, clear. Configurations are compared, and reloadable options are copied, by way of
 * that text, so that only this file and option_parse.c know the types.
 */
#include "base/cleanup.h"
#include "base/memory_text.h"
#include "config/config.h"
#include "config/option.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *config_option_place(const struct option *option, struct config *config)
{
	return (char *)config + option->offset;
}

static void *config_option_second_place(const struct option *option, struct config *config)
{
	return (char *)config + option->second;
}

int config_option_set_whole(const struct option *option, struct config *config, const char *value)
{
	char why[OPTION_WHY_SIZE];

	if (!config_option_is_list(option))
		return config_option_set(option, config, value, why);

	AUTO_FREE char *items = strdup(value);
	char *rest = NULL;

	if (!items)
		return -1;
	for (char *item = strtok_r(items, " ", &rest); item; item = strtok_r(NULL, " ", &rest))
		if (config_option_set(option, config, item, why) < 0)
			return -1;
	return 0;
}

int config_option_set_default(const struct option *option, struct config *config)
{
	return config_option_set_whole(option, config, option->initial);
}

void config_option_clear(const struct option *option, struct config *config)
{
	void *place = config_option_place(option, config);

	switch (option->type) {
	case OPTION_STRING:
		free(*(char **)place);
		*(char **)place = NULL;
		break;
	case OPTION_LISTEN_LIST:
		vec_free((struct addr_list *)place);
		break;
	case OPTION_SERVICE_LIST:
		vec_free((struct config_service_list *)place);
		break;
	case OPTION_REDIRECT_LIST:
		vec_free((struct config_redirect_list *)place);
		break;
	case OPTION_NETWORK_LIST:
	case OPTION_IP_LIST:
		vec_free((struct cidr4_list *)place);
		break;
	case OPTION_USERS_LIST:
		vec_free((struct config_users_list *)place);
		break;
	case OPTION_COUNT:
	case OPTION_SIZE:
	case OPTION_DURATION:
	case OPTION_PORT:
	case OPTION_RANGE:
	case OPTION_BOOL:
	case OPTION_CHOICE:
	case OPTION_NETWORK:
	case OPTION_INTERFACE:
	case OPTION_MAC:
	case OPTION_MAC_OR_LEARN:
	case OPTION_OWNER:
		break; /* owns nothing */
	}
}

static void config_option_print_number(const struct option *option, unsigned number, FILE *out)
{
	if (!number && option->word)
		fputs(option->word, out);
	else
		fprintf(out, "%u", number);
}

static void config_option_print_duration(unsigned ms, FILE *out)
{
	if (ms == 0)
		fputs("0", out);
	else if (ms % 60000 == 0)
		fprintf(out, "%um", ms / 60000);
	else if (ms % 1000 == 0)
		fprintf(out, "%us", ms / 1000);
	else
		fprintf(out, "%ums", ms);
}

static void config_option_print_addresses(const struct addr_list *list, FILE *out)
{
	char text[ADDR_TEXT_SIZE];

	for (size_t i = 0; i < list->count; i++)
		fprintf(out, "%s%s", i ? " " : "", addr_format(&list->items[i], text));
}

static void config_option_print_services(const struct config_service_list *list, FILE *out)
{
	char text[CONFIG_SERVICE_TEXT_SIZE];

	for (size_t i = 0; i < list->count; i++)
		fprintf(out, "%s%s", i ? " " : "", config_service_format(&list->items[i], text));
}

static void config_option_print_redirects(const struct config_redirect_list *list, FILE *out)
{
	char text[CONFIG_REDIRECT_TEXT_SIZE];

	for (size_t i = 0; i < list->count; i++)
		fprintf(out, "%s%s", i ? " " : "", config_redirect_format(&list->items[i], text));
}

static void config_option_print_networks(const struct option *option, const struct cidr4_list *list, FILE *out)
{
	char text[CIDR4_TEXT_SIZE];

	for (size_t i = 0; i < list->count; i++)
		fprintf(out, "%s%s", i ? " " : "",
			option->type == OPTION_IP_LIST ? addr_ipv4_format(list->items[i].ip, text)
						       : addr_cidr4_format(&list->items[i], text));
}

static void config_option_print_users(const struct config_users_list *list, FILE *out)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct config_users *users = &list->items[i];

		fprintf(out, "%s%s", i ? " " : "", users->group ? "%" : "");
		if (*users->name)
			fputs(users->name, out);
		else if (users->first == users->last)
			fprintf(out, "%" PRIu32, users->first);
		else
			fprintf(out, "%" PRIu32 "-%" PRIu32, users->first, users->last);
	}
}

static void config_option_print_owner(const struct config_owner *owner, FILE *out)
{
	if (owner->set)
		fprintf(out, "%u:%u", owner->uid, owner->gid);
}

static void config_option_print_value(const struct option *option, struct config *config, FILE *out)
{
	void *place = config_option_place(option, config);
	char text[CIDR4_TEXT_SIZE];

	switch (option->type) {
	case OPTION_STRING:
		fputs(*(char **)place ? *(char **)place : "", out);
		break;
	case OPTION_COUNT:
	case OPTION_SIZE:
		config_option_print_number(option, *(unsigned *)place, out);
		break;
	case OPTION_DURATION:
		config_option_print_duration(*(unsigned *)place, out);
		break;
	case OPTION_PORT:
		fprintf(out, "%" PRIu16, *(uint16_t *)place);
		break;
	case OPTION_RANGE:
		fprintf(out, "%" PRIu16 "-%" PRIu16, *(uint16_t *)place,
			*(uint16_t *)config_option_second_place(option, config));
		break;
	case OPTION_BOOL:
		fputs(*(bool *)place ? "yes" : "no", out);
		break;
	case OPTION_CHOICE:
		fputs(option->words[*(unsigned *)place], out);
		break;
	case OPTION_NETWORK:
	case OPTION_INTERFACE:
		fputs(addr_cidr4_format(place, text), out);
		break;
	case OPTION_MAC_OR_LEARN:
		if (*(bool *)config_option_second_place(option, config)) {
			fputs("learn", out);
			break;
		}
		__attribute__((fallthrough));
	case OPTION_MAC:
		fputs(addr_mac_format(place, text), out);
		break;
	case OPTION_LISTEN_LIST:
		config_option_print_addresses(place, out);
		break;
	case OPTION_SERVICE_LIST:
		config_option_print_services(place, out);
		break;
	case OPTION_REDIRECT_LIST:
		config_option_print_redirects(place, out);
		break;
	case OPTION_NETWORK_LIST:
	case OPTION_IP_LIST:
		config_option_print_networks(option, place, out);
		break;
	case OPTION_USERS_LIST:
		config_option_print_users(place, out);
		break;
	case OPTION_OWNER:
		config_option_print_owner(place, out);
		break;
	}
}

char *config_option_print(const struct option *option, const struct config *config)
{
	struct base_text text;
	size_t length;
	FILE *out = base_text_open(&text);

	if (!out)
		return NULL;
	config_option_print_value(option, (struct config *)config, out); /* only reads it */
	return base_text_close(&text, out, &length);
}

static const char *config_option_format_duration(unsigned ms, char *text, size_t size)
{
	if (ms % 3600000 == 0)
		snprintf(text, size, "%uh", ms / 3600000);
	else if (ms % 1000 == 0)
		snprintf(text, size, "%us", ms / 1000);
	else
		snprintf(text, size, "%ums", ms);
	return text;
}

static void config_option_allowed_number(const struct option *option, char text[static OPTION_ALLOWED_SIZE])
{
	const char *suffix = option->type == OPTION_SIZE ? ", K, M and G may follow" : "";

	if (option->word)
		snprintf(text, OPTION_ALLOWED_SIZE, "%s, or %" PRIu32 " to %" PRIu32 "%s", option->word, option->min,
			 option->max, suffix);
	else
		snprintf(text, OPTION_ALLOWED_SIZE, "%" PRIu32 " to %" PRIu32 "%s", option->min, option->max, suffix);
}

static void config_option_allowed_duration(const struct option *option, char text[static OPTION_ALLOWED_SIZE])
{
	char least[16], most[16];

	config_option_format_duration(option->max, most, sizeof(most));
	if (option->min <= 1)
		snprintf(text, OPTION_ALLOWED_SIZE, "%sa number with ms, s or m, at most %s",
			 option->min ? "" : "0, or ", most);
	else
		snprintf(text, OPTION_ALLOWED_SIZE, "0, or a number with ms, s or m, %s to %s",
			 config_option_format_duration(option->min, least, sizeof(least)), most);
}

static void config_option_allowed_words(const struct option *option, char text[static OPTION_ALLOWED_SIZE])
{
	size_t used = 0;

	for (size_t i = 0; option->words[i] && used < OPTION_ALLOWED_SIZE; i++)
		used += (size_t)snprintf(text + used, OPTION_ALLOWED_SIZE - used, "%s%s",
					 !i                     ? ""
					 : option->words[i + 1] ? ", "
								: " or ",
					 option->words[i]);
}

static const char *config_option_allowed_form(const struct option *option)
{
	switch (option->type) {
	case OPTION_PORT:
		return "1 to 65535";
	case OPTION_RANGE:
		return "FIRST-LAST, each 1 to 65535";
	case OPTION_BOOL:
		return "yes or no";
	case OPTION_MAC:
		return "a unicast MAC, 02:FC:00:00:00:06";
	case OPTION_MAC_OR_LEARN:
		return "a unicast MAC, 02:FC:00:00:00:05, or learn";
	case OPTION_LISTEN_LIST:
		return "ADDRESS:PORT or [ADDRESS]:PORT; more by repeating the key";
	case OPTION_SERVICE_LIST:
		return "ADDRESS:PORT[=PORT], ADDRESS:PORT=ADDRESS:PORT[,proxy-v2] or "
		       "ADDRESS:PORT=unix:PATH[,proxy-v2], "
		       "IPv4; more by repeating the key";
	case OPTION_REDIRECT_LIST:
		return "PORT:PORT, each 1 to 65535, or *:PORT for every other port; more by repeating the key";
	case OPTION_NETWORK_LIST:
		return "ADDRESS or NETWORK/LENGTH, IPv4; more by repeating the key";
	case OPTION_IP_LIST:
		return "an IPv4 address; more by repeating the key";
	case OPTION_USERS_LIST:
		return "USER, UID, FIRST-LAST, %GROUP, %GID or %FIRST-LAST; more by repeating the key";
	case OPTION_OWNER:
		return "UID:GID, both as numbers; empty: nobody owns it";
	case OPTION_STRING:
	case OPTION_COUNT:
	case OPTION_SIZE:
	case OPTION_DURATION:
	case OPTION_CHOICE:
	case OPTION_NETWORK:
	case OPTION_INTERFACE:
		break; /* depends on the option */
	}
	return "";
}

char *config_option_allowed(const struct option *option, char text[static OPTION_ALLOWED_SIZE])
{
	switch (option->type) {
	case OPTION_STRING:
		snprintf(text, OPTION_ALLOWED_SIZE, "%s, at most %" PRIu32 " characters%s%s", option->pattern,
			 option->max, option->word ? "; empty: " : "", option->word ? option->word : "");
		break;
	case OPTION_COUNT:
	case OPTION_SIZE:
		config_option_allowed_number(option, text);
		break;
	case OPTION_DURATION:
		config_option_allowed_duration(option, text);
		break;
	case OPTION_CHOICE:
		config_option_allowed_words(option, text);
		break;
	case OPTION_NETWORK:
		snprintf(text, OPTION_ALLOWED_SIZE, "NETWORK/LENGTH, IPv4, /%" PRIu32 " to /%" PRIu32, option->min,
			 option->max);
		break;
	case OPTION_INTERFACE:
		snprintf(text, OPTION_ALLOWED_SIZE, "ADDRESS/LENGTH, IPv4, /%" PRIu32 " to /%" PRIu32, option->min,
			 option->max);
		break;
	case OPTION_PORT:
	case OPTION_RANGE:
	case OPTION_BOOL:
	case OPTION_MAC:
	case OPTION_MAC_OR_LEARN:
	case OPTION_LISTEN_LIST:
	case OPTION_SERVICE_LIST:
	case OPTION_REDIRECT_LIST:
	case OPTION_NETWORK_LIST:
	case OPTION_IP_LIST:
	case OPTION_USERS_LIST:
	case OPTION_OWNER:
		snprintf(text, OPTION_ALLOWED_SIZE, "%s", config_option_allowed_form(option));
		break;
	}
	return text;
}
