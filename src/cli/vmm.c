/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The three VMMs take the same facts in three dialects: the TAP, the MAC and the kernel's ip= argument. The TAP is configured
 * already, so no VMM may run a script on it or set its address. What starts a VMM of another kind takes them from variables, which are
 * named after the API's fields.
 */
#include "cli/vmm.h"

#include "base/cleanup.h"
#include "cli/call.h"
#include "cli/print_text.h"

#include <ctype.h>
#include <string.h>

static void cli_vmm_print_firecracker(const json_t *sandbox)
{
	const json_t *guest = json_object_get(sandbox, "guest");
	json_t *config =
	    json_pack("{s:{s:s}, s:[{s:s, s:s, s:s}]}", "boot-source", "boot_args", client_text(guest, "boot_arg"),
		      "network-interfaces", "iface_id", "eth0", "guest_mac", client_text(guest, "mac"), "host_dev_name",
		      client_text(sandbox, "tap"));

	cli_print_json(config);
	json_decref(config);
}

/* For a shell, in single quotes where that is needed. */
static void cli_vmm_print_quoted(const char *text)
{
	if (!text[strcspn(text, " \t\n\"'\\$`;&|<>()*?[]#~%!{}")]) {
		cli_text_print(stdout, "%s", text);
		return;
	}
	putchar('\'');
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*text);
	}
	putchar('\'');
}

/* ARGUMENTS: option, value, option, value, ... Taken over. */
static void cli_vmm_print_arguments(const struct cli *cli, json_t *arguments)
{
	json_t *argument;
	size_t i;

	if (cli->json) {
		cli_print_json(arguments);
	} else {
		json_array_foreach(arguments, i, argument)
		{
			cli_vmm_print_quoted(json_string_value(argument));
			putchar(i % 2 ? '\n' : ' ');
		}
	}
	json_decref(arguments);
}

static void cli_vmm_print_cloud_hypervisor(const struct cli *cli, const json_t *sandbox)
{
	const json_t *guest = json_object_get(sandbox, "guest");
	json_t *net = json_sprintf("tap=%s,mac=%s", client_text(sandbox, "tap"), client_text(guest, "mac"));

	cli_vmm_print_arguments(cli,
				json_pack("[s, o, s, s]", "--net", net, "--cmdline", client_text(guest, "boot_arg")));
}

static void cli_vmm_print_qemu(const struct cli *cli, const json_t *sandbox)
{
	const json_t *guest = json_object_get(sandbox, "guest");
	json_t *netdev = json_sprintf("tap,id=net0,ifname=%s,script=no,downscript=no", client_text(sandbox, "tap"));
	json_t *device = json_sprintf("virtio-net-pci,netdev=net0,mac=%s", client_text(guest, "mac"));

	cli_vmm_print_arguments(cli, json_pack("[s, o, s, o, s, s]", "-netdev", netdev, "-device", device, "-append",
					       client_text(guest, "boot_arg")));
}

/* Adds PREFIX and the name of the field in capitals. Blanks part the items of a list. */
static void cli_vmm_add_variable(json_t *variables, const char *prefix, const json_t *object, const char *field)
{
	const json_t *value = json_object_get(object, field);
	struct base_text text;
	char name[64];
	json_t *item;
	size_t i;

	int length = snprintf(name, sizeof(name), "%s%s", prefix, field);
	for (int n = 0; n < length; n++)
		name[n] = (char)toupper((unsigned char)name[n]);
	FILE *out = cli_text_open(&text);
	if (json_is_integer(value))
		fprintf(out, "%lld", (long long)json_integer_value(value));
	else if (json_is_string(value))
		fputs(json_string_value(value), out);
	json_array_foreach(value, i, item) fprintf(out, "%s%s", i ? " " : "", json_string_value(item));
	AUTO_FREE char *words = cli_text_close(&text, out);
	json_object_set_new(variables, name, json_string(words));
}

static void cli_vmm_print_variables(const struct cli *cli, const json_t *sandbox)
{
	static const char *const fields[] = { "id", "name", "slot", "netns", "netns_path", "veth", "tap", "host_ip" };
	static const char *const of_guest[] = { "ip", "prefix", "gateway", "mac", "mtu", "dns", "boot_arg" };
	json_t *variables = json_object(), *value;
	const char *name;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		cli_vmm_add_variable(variables, "weft_", sandbox, fields[i]);
	for (size_t i = 0; i < sizeof(of_guest) / sizeof(of_guest[0]); i++)
		cli_vmm_add_variable(variables, "weft_guest_", json_object_get(sandbox, "guest"), of_guest[i]);
	if (cli->json) {
		cli_print_json(variables);
	} else {
		json_object_foreach(variables, name, value)
		{
			printf("%s=", name);
			cli_vmm_print_quoted(json_string_value(value));
			putchar('\n');
		}
	}
	json_decref(variables);
}

void cli_vmm_print(const struct cli *cli, const char *vmm, const json_t *sandbox)
{
	if (strcmp(vmm, "firecracker") == 0)
		cli_vmm_print_firecracker(sandbox);
	else if (strcmp(vmm, "cloud-hypervisor") == 0)
		cli_vmm_print_cloud_hypervisor(cli, sandbox);
	else if (strcmp(vmm, "env") == 0)
		cli_vmm_print_variables(cli, sandbox);
	else
		cli_vmm_print_qemu(cli, sandbox);
}
