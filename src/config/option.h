/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONFIG_OPTION_H
#define WEFT_CONFIG_OPTION_H

/*
 * The table of options, and the operations on the value of one: read it from text, print it, clear it. For the files of this
 * room; others use struct config.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;

/* The type of the member of struct config at the offset of the option. */
enum option_type {
	OPTION_STRING,        /* char *; NULL when empty */
	OPTION_COUNT,         /* unsigned */
	OPTION_SIZE,          /* unsigned, bytes; K, M, G */
	OPTION_DURATION,      /* unsigned, milliseconds; ms, s, m */
	OPTION_PORT,          /* uint16_t */
	OPTION_RANGE,         /* uint16_t; the last port at `second` */
	OPTION_BOOL,          /* bool; yes, no */
	OPTION_CHOICE,        /* an enum whose values count up in the order of `words` */
	OPTION_NETWORK,       /* struct cidr4 without host bits */
	OPTION_INTERFACE,     /* struct cidr4: an address with the prefix of its link */
	OPTION_MAC,           /* struct mac */
	OPTION_MAC_OR_LEARN,  /* struct mac, kept as it is by the word "learn", which sets the bool at `second` */
	OPTION_OWNER,         /* struct config_owner; UID:GID, or empty: nobody */
	OPTION_LISTEN_LIST,   /* struct addr_list; this one and all below are lists */
	OPTION_SERVICE_LIST,  /* struct config_service_list */
	OPTION_REDIRECT_LIST, /* struct config_redirect_list */
	OPTION_NETWORK_LIST,  /* struct cidr4_list */
	OPTION_IP_LIST,       /* struct cidr4_list, /32 each */
	OPTION_USERS_LIST,    /* struct config_users_list */
};

struct option {
	const char *section;
	const char *key;
	enum option_type type;
	bool reloadable;
	const char *initial;      /* default, as it would stand in the file; a list's values with spaces between */
	const char *text;         /* what it is for, one sentence */
	const char *word;         /* numbers: a word that stands for 0; strings: what an empty value means, or NULL */
	const char *const *words; /* OPTION_CHOICE: the words, NULL at the end */
	const char *pattern;      /* OPTION_STRING: what is allowed, in words */
	size_t offset;            /* in struct config */
	size_t second;            /* in struct config, for the types that need two places */
	uint32_t min, max;        /* numbers; strings: length */
};

extern const struct option option_table[];
extern const size_t option_count;

/* The option with this name, or NULL. */
const struct option *config_option_find(const char *section, const char *key);
bool config_option_section_exists(const char *section);
bool config_option_is_list(const struct option *option);

enum { OPTION_WHY_SIZE = 96, OPTION_ALLOWED_SIZE = 160 };

/*
 * Reads VALUE into CONFIG. A list gets one more item; an empty VALUE adds none. 0 with a warning in WHY, or "" there; or -1 with the
 * fault in WHY ("no unit"), and CONFIG is as before.
 */
int config_option_set(const struct option *option, struct config *config, const char *value,
		      char why[static OPTION_WHY_SIZE]);

/*
 * Reads VALUE, as config_option_print() writes it, into CONFIG; a list gets each of its items. 0, or -1 for a fault or lack of
 * memory, and a list may then have some of them.
 */
int config_option_set_whole(const struct option *option, struct config *config, const char *value);

/* Reads the default into CONFIG, where its place is zeroed. 0, or -1 for lack of memory. */
int config_option_set_default(const struct option *option, struct config *config);

/* Releases the value and zeroes its place. */
void config_option_clear(const struct option *option, struct config *config);

/* The value as it would stand in the file, a list's with spaces between: malloc()ed; NULL for lack of memory. */
char *config_option_print(const struct option *option, const struct config *config);

/* The values that the option takes, in words: "0, or a number with ms, s or m, at most 24h". Returns TEXT. */
char *config_option_allowed(const struct option *option, char text[static OPTION_ALLOWED_SIZE]);

#endif
