/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_COMMANDS_H
#define WEFT_CLI_COMMANDS_H

/*
 * The table of commands, and the functions behind it: each is in the file of its name, commands/NAME.c, and returns an exit code.
 */

#include "cli/cli.h"

extern const struct command commands[];

int command_register(const struct cli *cli);
int command_unregister(const struct cli *cli);
int command_ls(const struct cli *cli);
int command_show(const struct cli *cli);
int command_wait(const struct cli *cli);
int command_publish(const struct cli *cli);
int command_unpublish(const struct cli *cli);
int command_default(const struct cli *cli);
int command_set(const struct cli *cli);
int command_policy(const struct cli *cli);
int command_pause(const struct cli *cli);
int command_resume(const struct cli *cli);
int command_wake(const struct cli *cli);
int command_reach(const struct cli *cli);
int command_diagnose(const struct cli *cli);
int command_doctor(const struct cli *cli);
int command_door(const struct cli *cli);
int command_events(const struct cli *cli);
int command_connections(const struct cli *cli);
int command_top(const struct cli *cli);
int command_status(const struct cli *cli);
int command_exec(const struct cli *cli);
int command_upgrade_check(const struct cli *cli);
int command_help(const struct cli *cli);

#endif
