/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_VMM_H
#define WEFT_CLI_VMM_H

#include "cli/cli.h"

#include <jansson.h>

/*
 * Prints the settings with which VMM ("firecracker", "cloud-hypervisor" or "qemu") attaches a VM to SANDBOX. For Firecracker they
 * are a part of its configuration file, for the others command-line options, one with its value a line or, with --json, a list. For
 * "env" they are variables, one a line, as a shell and systemd's EnvironmentFile= read them, or an object.
 */
void cli_vmm_print(const struct cli *cli, const char *vmm, const json_t *sandbox);

#endif
