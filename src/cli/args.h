/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_ARGS_H
#define WEFT_CLI_ARGS_H

/*
 * The command line, read by tables of commands and options. The help is made from the same tables, by cli/help.c.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* weftd's own default. */
#define ARGS_SOCKET_DEFAULT "/run/weft/control.sock"

enum { ARGS_DEADLINE_DEFAULT_S = 10, ARGS_DEADLINE_MAX_S = 3600 };

struct cli;
struct err;

struct option_spec {
	const char *name;  /* without the dashes; NULL ends a list */
	const char *value; /* name of its value in the usage; NULL: it takes none */
	bool repeats;      /* may be given more than once */
	const char *words; /* the values allowed, separated by spaces; NULL: any */
	const char *text;  /* one line of help */
};

enum { OPERANDS_ANY = 1000 };

struct command {
	const char *name;                  /* NULL ends a table */
	const char *operands;              /* as the usage shows them: "ID P..." */
	unsigned least, most;              /* how many */
	bool runs_program;                 /* everything from the second operand on is another program's command line */
	bool no_json;                      /* has no --json */
	const struct option_spec *options; /* besides --socket, --json and --help */
	const char *summary;               /* one line */
	const char *text;                  /* more help; may be NULL */
	int (*run)(const struct cli *cli); /* returns an exit code */
};

struct given_option {
	const struct option_spec *option;
	const char *value; /* NULL if the option takes none */
};

/* The parsed command line. The strings are argv's. */
struct args {
	const struct command *command; /* NULL: none */
	char **operands;               /* ends with NULL */
	size_t operand_count;
	struct given_option *given; /* in their order */
	size_t given_count;
	const char *socket; /* NULL: the default */
	long deadline_s;    /* 0: the default */
	bool json, help, version;
};

/*
 * Reads the command line by the table COMMANDS. 0, or -1 with ERR naming the argument at fault; ARGS->command is set if it was
 * read by then. Call cli_args_clear() in both cases.
 */
int cli_args_parse(struct args *args, int argc, char **argv, const struct command *commands, struct err *err);
void cli_args_clear(struct args *args);

bool cli_args_has(const struct args *args, const char *option);
/* The (last) value of OPTION; NULL: not given. */
const char *cli_args_value(const struct args *args, const char *option);
/* The value of OPTION's Nth appearance (from 0); NULL: there are fewer. */
const char *cli_args_value_at(const struct args *args, const char *option, size_t n);

/* Whether WORD is one of WORDS, which are separated by spaces. */
bool cli_args_is_word_of(const char *words, const char *word);

/* A whole number from LEAST to MOST. 0, or -1 with ERR ("WHAT: VALUE is not ..."). */
int cli_args_number(const char *what, const char *value, long least, long most, long *number, struct err *err);

/* The options of every command; NULL as a name ends them. */
const struct option_spec *cli_args_common_options(void);
/* The option called the LENGTH bytes of NAME, of every command or of COMMAND, which may be NULL; NULL: there is none. */
const struct option_spec *cli_args_option(const struct command *command, const char *name, size_t length);

/* The row of NAME; NULL: there is none. */
const struct command *cli_args_find_command(const struct command *commands, const char *name);
/* ERR: NAME is no command, and which was probably meant. Returns -1. */
int cli_args_no_command(const char *name, const struct command *commands, struct err *err);

/* "-q", if the option NAME ("quiet") has a letter; else NULL. */
const char *cli_args_letter(const char *name);

#endif
