/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_COMMANDS_H
#define WEFT_CLI_COMMANDS_H

/*
 * The table of commands, and the functions behind it: each in the file of its name, cmd_NAME.c. They return exit codes.
 */

#include "cli/cli.h"

extern const struct command commands[];

int cmd_register(const struct cli *cli);
int cmd_unregister(const struct cli *cli);
int cmd_ls(const struct cli *cli);
int cmd_show(const struct cli *cli);
int cmd_wait(const struct cli *cli);
int cmd_publish(const struct cli *cli);
int cmd_unpublish(const struct cli *cli);
int cmd_default(const struct cli *cli);
int cmd_policy(const struct cli *cli);
int cmd_pause(const struct cli *cli);
int cmd_resume(const struct cli *cli);
int cmd_reach(const struct cli *cli);
int cmd_diagnose(const struct cli *cli);
int cmd_doctor(const struct cli *cli);
int cmd_events(const struct cli *cli);
int cmd_connections(const struct cli *cli);
int cmd_top(const struct cli *cli);
int cmd_status(const struct cli *cli);
int cmd_exec(const struct cli *cli);

#endif
