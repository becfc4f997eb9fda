/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any text as an address, a network, a MAC and a time. A text that is accepted must print and read back as the same value.
 */
#include "base/addr.h"
#include "base/clock.h"
#include "fuzz.h"

static void try_address(const char *text)
{
	char printed[ADDR_TEXT_SIZE];
	struct addr addr, again;

	if (addr_parse(text, &addr) < 0)
		return;
	fuzz_check(addr_parse(addr_format(&addr, printed), &again) == 0);
	fuzz_check(addr_equal(&addr, &again));
	fuzz_check(addr_port(&addr) != 0);
}

static void try_network(const char *text)
{
	char printed[CIDR4_TEXT_SIZE];
	struct cidr4 cidr, again;

	if (addr_cidr4_parse(text, &cidr) < 0)
		return;
	fuzz_check(addr_cidr4_parse(addr_cidr4_format(&cidr, printed), &again) == 0);
	fuzz_check(cidr.ip == again.ip && cidr.length == again.length && cidr.length <= 32);
	fuzz_check(addr_cidr4_contains(&cidr, cidr.ip) && addr_cidr4_first(&cidr) <= addr_cidr4_last(&cidr));
}

static void try_mac(const char *text)
{
	char printed[MAC_TEXT_SIZE];
	struct mac mac, again;

	if (addr_mac_parse(text, &mac) < 0)
		return;
	fuzz_check(addr_mac_parse(addr_mac_format(&mac, printed), &again) == 0);
	fuzz_check(addr_mac_equal(&mac, &again));
}

static void try_time(const char *text)
{
	char printed[CLOCK_TEXT_SIZE];
	int64_t wall_ms;

	if (clock_parse(text, &wall_ms) == 0)
		fuzz_check(strcmp(clock_format(wall_ms, printed), text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);

	try_address(text);
	try_network(text);
	try_mac(text);
	try_time(text);
	free(text);
	return 0;
}
