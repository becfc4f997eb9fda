/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the host's counts of drops and denials: of each sandbox by its link, and over all by rule. The elements of links that
 * are gone are left to time out, since a link's number is not used again soon. When a link goes to another sandbox, its element
 * is removed at once.
 */
#include "fabric/rules/host_rules.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "fabric/rules/rules.h"
#include "nft/read.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <string.h>

static void rules_host_take_counter(void *context, const char *name, uint64_t packets, uint64_t bytes)
{
	uint64_t *denied = context;
	enum fabric_rule rule;

	(void)bytes;
	if (rules_of_counter(name, &rule))
		denied[rule] += packets;
}

int rules_host_counts(uint64_t denied[static FABRIC_RULES], struct err *err)
{
	int status = -1;

	for (unsigned i = 0; status < 0 && i < NFT_ATTEMPTS; i++) {
		memset(denied, 0, FABRIC_RULES * sizeof(denied[0]));
		status = nft_read_counters(-1, rules_host_take_counter, denied, err);
		if (status < 0 && err->code != EINTR)
			break;
	}
	return status < 0 ? err_wrap(err, "the host's table") : 0;
}

/* ---- By sandbox ---- */

int rules_host_drops(const int *links, uint64_t *drops, size_t count, struct err *err)
{
	AUTO_FD int fd = nft_socket(-1, err);

	if (fd < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		const struct nft_element wanted = { .link = links[i] };
		struct nft_range range = { 0 };
		int found = links[i] ? nft_read_find(fd, NFPROTO_INET, &set_sandbox_drops, &wanted, &range, err) : 0;

		if (found < 0)
			return err_wrap(err, "the host's table");
		drops[i] = found ? range.packets : 0;
	}
	return 0;
}

int rules_host_forget(int link, struct err *err)
{
	const struct nft_element element = { .link = link };
	struct nft_batch batch;
	uint64_t drops = 0;

	/* Most links have no element, and any deletion waits for the kernel. */
	if (rules_host_drops(&link, &drops, 1, err) < 0)
		return -1;
	if (!drops)
		return 0;
	nft_batch_begin(&batch, NFPROTO_INET);
	nft_elements_delete(&batch, &set_sandbox_drops, &element, 1);
	int status = nft_batch_send(&batch, -1, err);
	nft_batch_free(&batch);
	return status < 0 && err->code != ENOENT ? err_wrap(err, "the host's table") : 0;
}

struct host_denial_reader {
	rules_host_denied *report;
	void *context;
	uint64_t now_ms, since_ms;
};

static void rules_host_report_denial(void *context, const struct nft_read_element *read)
{
	struct host_denial_reader *reader = context;
	uint64_t age = RULES_DENIAL_KEPT_MS > read->remaining_ms ? RULES_DENIAL_KEPT_MS - read->remaining_ms : 0;
	struct fabric_denial denial = { .destination = read->element.first, .port = read->element.port };

	if (reader->now_ms - age <= reader->since_ms)
		return;
	snprintf(denial.rule, sizeof(denial.rule), "%s", rules_name(FABRIC_RULE_HOST));
	rules_denial_name_proto(&denial, read->element.proto);
	reader->report(reader->context, read->element.link, &denial);
}

int rules_host_denials(uint64_t *since_ms, rules_host_denied *report, void *context, struct err *err)
{
	struct host_denial_reader reader = { report, context, clock_now_ms(), *since_ms };
	const struct nft_set *sets[] = { &set_denied_host_ports, &set_denied_host_protocols };

	for (size_t i = 0; i < 2; i++)
		if (nft_read_elements(-1, NFPROTO_INET, sets[i], rules_host_report_denial, &reader, err) < 0)
			return err->code == EINTR ? 0 : err_wrap(err, "denials on the host");
	*since_ms = reader.now_ms > RULES_DENIAL_SLACK_MS ? reader.now_ms - RULES_DENIAL_SLACK_MS : 0;
	return 0;
}
