/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Long options only, before or after the command, with their value behind '=' or in the next argument; "--" ends them. Names
 * are not abbreviated, so that a script that works today does not become ambiguous tomorrow.
 */
#include "cli/args.h"

#include "base/err.h"
#include "cli/suggest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { COMMON_SOCKET, COMMON_DEADLINE, COMMON_JSON, COMMON_HELP, COMMON_VERSION };

static const struct option_spec common_options[] = {
	[COMMON_SOCKET] = { "socket", "PATH", false, NULL,
			    "the daemon's control socket (default " ARGS_SOCKET_DEFAULT ")" },
	[COMMON_DEADLINE] = { "deadline", "S", false, NULL,
			      "seconds that the daemon has to answer, 1 to 3600 (default 10)" },
	[COMMON_JSON] = { "json", NULL, false, NULL, "print JSON, for programs" },
	[COMMON_HELP] = { "help", NULL, false, NULL, "print this and exit" },
	[COMMON_VERSION] = { "version", NULL, false, NULL, "print the version and exit" },
	{ 0 },
};

static const struct option_spec *cli_args_find_option(const struct option_spec *options, const char *name,
						      size_t length)
{
	for (; options && options->name; options++)
		if (strlen(options->name) == length && strncmp(options->name, name, length) == 0)
			return options;
	return NULL;
}

const struct option_spec *cli_args_common_options(void)
{
	return common_options;
}

const struct option_spec *cli_args_option(const struct command *command, const char *name, size_t length)
{
	const struct option_spec *option = cli_args_find_option(common_options, name, length);

	return !option && command ? cli_args_find_option(command->options, name, length) : option;
}

const struct command *cli_args_find_command(const struct command *commands, const char *name)
{
	for (; commands->name; commands++)
		if (strcmp(commands->name, name) == 0)
			return commands;
	return NULL;
}

/* Other tools' words for ours. */
static const struct {
	const char *typed, *command;
} args_other_names[] = {
	{ "list", "ls" },           { "ps", "ls" },         { "create", "register" },
	{ "add", "register" },      { "rm", "unregister" }, { "remove", "unregister" },
	{ "delete", "unregister" }, { "inspect", "show" },  { "get", "show" },
	{ "update", "set" },        { "patch", "set" },     { "unpause", "resume" },
	{ "logs", "events" },       { "stats", "top" },     { "info", "status" },
	{ "check", "doctor" },
};

int cli_args_no_command(const char *name, const struct command *commands, struct err *err)
{
	struct cli_suggestion suggestion = { .typed = name };

	for (size_t i = 0; i < sizeof(args_other_names) / sizeof(args_other_names[0]); i++)
		if (strcmp(args_other_names[i].typed, name) == 0)
			suggestion.best = args_other_names[i].command;
	for (bool known = suggestion.best != NULL; commands->name && !known; commands++)
		cli_suggest_offer(&suggestion, commands->name);
	return err_set(err, 0, "%s: no such command%s%s%s", name, suggestion.best ? "; did you mean '" : "",
		       suggestion.best ? suggestion.best : "", suggestion.best ? "'?" : "");
}

static int cli_args_no_option(const struct args *args, const char *name, size_t length, struct err *err)
{
	struct cli_suggestion suggestion = { .typed = name, .length = length };
	const struct option_spec *option = args->command ? args->command->options : NULL;

	for (; option && option->name; option++)
		cli_suggest_offer(&suggestion, option->name);
	for (option = common_options; option->name; option++)
		cli_suggest_offer(&suggestion, option->name);
	return err_set(err, 0, "--%.*s: no such option%s%s%s%s", (int)length, name,
		       args->command ? "" : " before a command", suggestion.best ? "; did you mean '--" : "",
		       suggestion.best ? suggestion.best : "", suggestion.best ? "'?" : "");
}

bool cli_args_is_word_of(const char *words, const char *word)
{
	size_t length = strlen(word);

	while (length && *words) {
		size_t here = strcspn(words, " ");
		if (here == length && strncmp(words, word, length) == 0)
			return true;
		words += here + strspn(words + here, " ");
	}
	return false;
}

/* Stores an option. The common ones have a field each. */
static int cli_args_keep_option(struct args *args, const struct option_spec *option, const char *value, struct err *err)
{
	if (option == &common_options[COMMON_SOCKET]) {
		if (args->socket)
			return err_set(err, 0, "--socket is given twice");
		args->socket = value;
	} else if (option == &common_options[COMMON_DEADLINE]) {
		if (args->deadline_s)
			return err_set(err, 0, "--deadline is given twice");
		return cli_args_number("--deadline", value ? value : "", 1, ARGS_DEADLINE_MAX_S, &args->deadline_s,
				       err);
	} else if (option == &common_options[COMMON_JSON]) {
		args->json = true;
	} else if (option == &common_options[COMMON_HELP]) {
		args->help = true;
	} else if (option == &common_options[COMMON_VERSION]) {
		args->version = true;
	} else {
		if (!option->repeats && cli_args_has(args, option->name))
			return err_set(err, 0, "--%s is given twice", option->name);
		args->given[args->given_count++] = (struct given_option){ option, value };
	}
	return 0;
}

/* Options that have a letter too, in every command that has them. */
static const char *const letters[][2] = { { "-h", "--help" }, { "-q", "--quiet" } };

const char *cli_args_letter(const char *name)
{
	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
		if (strcmp(letters[i][1] + 2, name) == 0)
			return letters[i][0];
	return NULL;
}

/* The long form of ARGUMENT, if it is the letter of an option that is known here; else ARGUMENT. */
static const char *cli_args_long_form(const struct args *args, const char *argument)
{
	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
		if (strcmp(argument, letters[i][0]) == 0 &&
		    cli_args_option(args->command, letters[i][1] + 2, strlen(letters[i][1] + 2)))
			return letters[i][1];
	return argument;
}

/* Reads the option ARGUMENT, which is ARGV[*AT], and the argument after it if that is its value. */
static int cli_args_read_option(struct args *args, const char *argument, char **argv, int *at, struct err *err)
{
	const char *name = argument + 2;
	size_t length = strcspn(name, "=");
	const char *value = name[length] ? name + length + 1 : NULL;
	const struct option_spec *option = cli_args_option(args->command, name, length);

	if (!option)
		return cli_args_no_option(args, name, length, err);
	if (!option->value && value)
		return err_set(err, 0, "--%s takes no value", option->name);
	if (option->value && !value) {
		value = argv[*at + 1];
		if (!value || strncmp(value, "--", 2) == 0)
			return err_set(err, 0, "--%s needs a value: %s", option->name, option->value);
		(*at)++;
	}
	if (option->words && value && !cli_args_is_word_of(option->words, value))
		return err_set(err, 0, "--%s %s: not one of: %s", option->name, value, option->words);
	return cli_args_keep_option(args, option, value, err);
}

static int cli_args_read_operand(struct args *args, char *argument, const struct command *commands, struct err *err)
{
	if (!args->command) {
		args->command = cli_args_find_command(commands, argument);
		return args->command ? 0 : cli_args_no_command(argument, commands, err);
	}
	if (args->operand_count == args->command->most)
		return err_set(err, 0, "%s: one argument too many", argument);
	args->operands[args->operand_count++] = argument;
	return 0;
}

/* Names the missing operand, the Nth word of "ID P...". */
static void cli_args_missing_operand(const struct command *command, size_t n, struct err *err)
{
	const char *word = command->operands;

	if (n && command->runs_program)
		n++; /* the "--" between is no operand */
	while (n--) {
		const char *next = strchr(word, ' ');
		if (!next)
			break;
		word = next + 1;
	}
	err_set(err, 0, "%.*s is missing", (int)strcspn(word, " ."), word);
}

static int cli_args_check_whole(const struct args *args, struct err *err)
{
	if (args->help || args->version)
		return 0;
	if (!args->command)
		return err_set(err, 0, "no command");
	if (args->operand_count < args->command->least) {
		cli_args_missing_operand(args->command, args->operand_count, err);
		return -1;
	}
	if (args->json && args->command->no_json)
		return err_set(err, 0, "--json: %s has nothing to print", args->command->name);
	return 0;
}

int cli_args_parse(struct args *args, int argc, char **argv, const struct command *commands, struct err *err)
{
	bool options_ended = false;

	*args = (struct args){ 0 };
	args->operands = calloc((size_t)argc + 1, sizeof(args->operands[0]));
	args->given = calloc((size_t)argc + 1, sizeof(args->given[0]));
	if (!args->operands || !args->given)
		abort();

	for (int i = 1; i < argc; i++) {
		int result;
		if (args->command && args->command->runs_program && args->operand_count)
			options_ended = options_ended || strncmp(argv[i], "-", 1) != 0;
		if (!options_ended && strcmp(argv[i], "--") == 0) {
			options_ended = true;
			continue;
		}
		const char *argument = options_ended ? argv[i] : cli_args_long_form(args, argv[i]);
		if (!options_ended && strncmp(argument, "--", 2) == 0)
			result = cli_args_read_option(args, argument, argv, &i, err);
		else if (!options_ended && argv[i][0] == '-' && argv[i][1])
			result = err_set(err, 0, "%s: no such option", argv[i]);
		else
			result = cli_args_read_operand(args, argv[i], commands, err);
		if (result < 0)
			return -1;
	}
	return cli_args_check_whole(args, err);
}

void cli_args_clear(struct args *args)
{
	free(args->operands);
	free(args->given);
	*args = (struct args){ 0 };
}

const char *cli_args_value_at(const struct args *args, const char *option, size_t n)
{
	for (size_t i = 0; i < args->given_count; i++)
		if (strcmp(args->given[i].option->name, option) == 0 && n-- == 0)
			return args->given[i].value;
	return NULL;
}

const char *cli_args_value(const struct args *args, const char *option)
{
	return cli_args_value_at(args, option, 0);
}

bool cli_args_has(const struct args *args, const char *option)
{
	for (size_t i = 0; i < args->given_count; i++)
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): those that are counted are set */
		if (strcmp(args->given[i].option->name, option) == 0)
			return true;
	return false;
}

int cli_args_number(const char *what, const char *value, long least, long most, long *number, struct err *err)
{
	char *end;

	errno = 0;
	*number = strtol(value, &end, 10);
	/* strtol() would take blanks and a sign. */
	if (strspn(value, "0123456789") != strlen(value) || !*value || *end || errno || *number < least ||
	    *number > most)
		return err_set(err, 0, "%s: '%s' is not a number from %ld to %ld", what, value, least, most);
	return 0;
}
