/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_VMM_H
#define WEFT_CLI_VMM_H

#include "cli/cli.h"

#include <jansson.h>

/*
 * Prints what VMM ("firecracker", "cloud-hypervisor" or "qemu") must be told to attach a VM to SANDBOX: for Firecracker a part of its
 * configuration file; for the others their options, one with its value a line, or with --json as a list of arguments.
 */
void cli_vmm_print(const struct cli *cli, const char *vmm, const json_t *sandbox);

#endif
