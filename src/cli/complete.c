/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Completion for all shells: their files pass the words of the command line, and print the answer. So commands, options and
 * values are known in one place, that of the command line itself. Sandboxes come from the daemon, for which nobody waits at a
 * prompt for longer than a second. bash makes a word of its own of "="; the others leave it within the word.
 */
#include "cli/complete.h"

#include "base/cleanup.h"
#include "cli/choose.h"
#include "cli/ids.h"
#include "cli/print_text.h"
#include "client/ask.h"

#include <stdlib.h>
#include <string.h>

enum { COMPLETE_DEADLINE_MS = 1000 };

/* The command line before the word that is being completed. */
struct completion {
	FILE *out;
	const struct command *commands, *command;
	const struct option_spec *pending; /* whose value the word is; NULL: none */
	const char *socket, *id;           /* id: the first operand */
	size_t operands;
	bool options_ended;
	const char *before;   /* stands before each candidate, "--state=" */
	size_t before_length; /* its bytes */
	const char *word;     /* the word, without BEFORE */
};

/* Offers WORD, with a description, if it begins as the word does. Both may be the daemon's. */
static void cli_complete_offer(const struct completion *completion, const char *word, const char *text)
{
	AUTO_FREE char *clean = cli_text_clean(word), *clean_text = cli_text_clean(text);

	if (*word && strncmp(word, completion->word, strlen(completion->word)) == 0)
		fprintf(completion->out, "%.*s%s%s%s\n", (int)completion->before_length, completion->before, clean,
			*text ? "\t" : "", clean_text);
}

static void cli_complete_words(const struct completion *completion, const char *words)
{
	while (*words) {
		size_t length = strcspn(words, " ");
		AUTO_FREE char *word = strndup(words, length);

		cli_complete_offer(completion, word, "");
		words += length + strspn(words + length, " ");
	}
}

static void cli_complete_options(const struct completion *completion, const struct option_spec *options)
{
	for (; options && options->name; options++) {
		char name[64];

		snprintf(name, sizeof(name), "--%s", options->name);
		cli_complete_offer(completion, name, options->text);
	}
}

static void cli_complete_commands(const struct completion *completion)
{
	for (const struct command *command = completion->commands; command->name; command++)
		cli_complete_offer(completion, command->name, command->summary);
}

static json_t *cli_complete_list(const struct completion *completion)
{
	const struct cli cli = { .socket = completion->socket ? completion->socket : ARGS_SOCKET_DEFAULT,
				 .deadline_ms = COMPLETE_DEADLINE_MS };

	return cli_ids_list(&cli);
}

static void cli_complete_sandboxes(const struct completion *completion)
{
	json_t *list = cli_complete_list(completion), *sandbox;
	size_t i;

	json_array_foreach(list, i, sandbox)
	{
		cli_complete_offer(completion, client_text(sandbox, "id"), client_text(sandbox, "state"));
		cli_complete_offer(completion, client_text(sandbox, "name"), client_text(sandbox, "id"));
	}
	json_decref(list);
}

/* The published ports of the sandbox that was named. */
static void cli_complete_ports(const struct completion *completion)
{
	const char *id = completion->id ? completion->id : "";
	json_t *list = cli_complete_list(completion), *sandbox, *endpoint;
	size_t i, k;

	json_array_foreach(list, i, sandbox)
	{
		if (strcmp(client_text(sandbox, "id"), id) != 0 && strcmp(client_text(sandbox, "name"), id) != 0)
			continue;
		json_array_foreach(json_object_get(sandbox, "endpoints"), k, endpoint)
		{
			const char *proto = client_text(endpoint, "proto");
			const char *address = json_string_value(json_array_get(json_object_get(endpoint, "listen"), 0));
			char port[32];

			snprintf(port, sizeof(port), "%lld%s%s", (long long)client_number(endpoint, "guest_port"),
				 strcmp(proto, "tcp") ? "/" : "", strcmp(proto, "tcp") ? proto : "");
			cli_complete_offer(completion, port, address ? address : "");
		}
	}
	json_decref(list);
}

static void cli_complete_value(const struct completion *completion)
{
	const struct option_spec *option = completion->pending;

	if (option->words)
		cli_complete_words(completion, option->words);
	else if (strcmp(option->value, "KEY=VALUE") == 0)
		cli_complete_words(completion, CHOOSE_FILTERS);
	else if (strcmp(option->name, "proto") == 0)
		cli_complete_words(completion, "tcp udp icmp gre esp ah sctp");
	else if (strcmp(option->value, "FILE") == 0 || strcmp(option->value, "PATH") == 0)
		fputs(":files\n", completion->out);
	else if (strcmp(option->value, "ID") == 0)
		cli_complete_sandboxes(completion);
}

/* Whether the next operand is called NAME ("ID") in the usage, whose last word repeats. */
static bool cli_complete_operand_is(const struct completion *completion, const char *name)
{
	const char *word = completion->command->operands;

	for (size_t n = completion->operands; n; n--) {
		const char *next = strchr(word, ' ');
		if (!next)
			break;
		word = next + 1;
		if (strncmp(word, "-- ", 3) == 0)
			word += 3;
	}
	size_t length = strlen(name);

	return strncmp(word, name, length) == 0 && (word[length] < 'A' || word[length] > 'Z');
}

static void cli_complete_operand(const struct completion *completion)
{
	if (completion->command && completion->operands >= completion->command->most)
		return;
	if (!completion->command || cli_complete_operand_is(completion, "[COMMAND]"))
		cli_complete_commands(completion);
	else if (cli_complete_operand_is(completion, "[check"))
		cli_complete_words(completion, "check");
	else if (cli_complete_operand_is(completion, "CMD..."))
		fputs(completion->operands > 1 ? ":files\n" : ":commands\n", completion->out);
	else if (cli_complete_operand_is(completion, "P..."))
		cli_complete_ports(completion);
	else if (cli_complete_operand_is(completion, "ID") && strcmp(completion->command->name, "register") != 0)
		cli_complete_sandboxes(completion);
}

/* Takes a word before the one that is being completed. Mistakes are passed over, since the command will report them. */
static void cli_complete_take(struct completion *completion, const char *word)
{
	const char *equals = strchr(word, '=');

	if (completion->pending) {
		if (strcmp(word, "=") == 0)
			return;
		if (strcmp(completion->pending->name, "socket") == 0)
			completion->socket = word;
		completion->pending = NULL;
	} else if (!completion->options_ended && strcmp(word, "--") == 0) {
		completion->options_ended = true;
	} else if (!completion->options_ended && strncmp(word, "--", 2) == 0) {
		const struct option_spec *option =
		    cli_args_option(completion->command, word + 2, strcspn(word + 2, "="));
		if (option && option->value && !equals)
			completion->pending = option;
		else if (option && equals && strcmp(option->name, "socket") == 0)
			completion->socket = equals + 1;
	} else if (!completion->command) {
		completion->command = cli_args_find_command(completion->commands, word);
	} else {
		if (!completion->operands++)
			completion->id = word;
		/* From its name on, all is the program's. */
		if (completion->command->runs_program && completion->operands > 1)
			completion->options_ended = true;
	}
}

void cli_complete(FILE *out, const struct command *commands, char **words, size_t count)
{
	struct completion completion = { .out = out, .commands = commands, .before = "", .word = "" };

	for (size_t i = 0; i + 1 < count; i++)
		cli_complete_take(&completion, words[i]);
	if (count && !(completion.pending && strcmp(words[count - 1], "=") == 0))
		completion.word = words[count - 1];
	const char *equals = strchr(completion.word, '=');
	if (!completion.pending && !completion.options_ended && equals && strncmp(completion.word, "--", 2) == 0) {
		const char *name = completion.word + 2;
		completion.pending = cli_args_option(completion.command, name, (size_t)(equals - name));
		if (!completion.pending || !completion.pending->value)
			return;
		completion.before = completion.word;
		completion.before_length = (size_t)(equals + 1 - completion.word);
		completion.word = equals + 1;
	}
	if (completion.pending) {
		cli_complete_value(&completion);
	} else if (!completion.options_ended && completion.word[0] == '-') {
		cli_complete_options(&completion, completion.command ? completion.command->options : NULL);
		cli_complete_options(&completion, cli_args_common_options());
	} else {
		cli_complete_operand(&completion);
	}
}
