/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Entries are elements of a map that the programs read at any time: each change is a single system call, done as a whole or not at all. */
#include "kernel/bpf.h"

#ifdef HAVE_LIBBPF
#include "base/err.h"
#include "base/vec.h"
#include "kernel/bpf_state.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

static int kern_loopback_write_key(struct loopback_key *key, const struct addr *listen, enum proto proto,
				   struct err *err)
{
	char text[ADDR_TEXT_SIZE];

	*key = (struct loopback_key){ .port = htons(addr_port(listen)),
				      .proto = proto == PROTO_TCP ? IPPROTO_TCP : IPPROTO_UDP };
	if (!addr_is_loopback(listen) || key->port == 0)
		return err_set(err, EINVAL, "%s is no port of a loopback address", addr_format(listen, text));
	if (listen->any.sa_family == AF_INET) {
		key->family = LOOPBACK_INET;
		key->ip[0] = listen->in.sin_addr.s_addr;
	} else {
		key->family = LOOPBACK_INET6;
		memcpy(key->ip, &listen->in6.sin6_addr, sizeof(key->ip));
	}
	return 0;
}

int kern_loopback_put(struct kern_loopback *loopback, const struct kern_loopback_entry *entry, struct err *err)
{
	const struct loopback_entry value = { .host_ip = htonl(entry->host_ip),
					      .guest_port = htons(entry->guest_port) };
	struct loopback_key key;
	char text[ADDR_TEXT_SIZE];

	if (kern_loopback_write_key(&key, &entry->listen, entry->proto, err) < 0 ||
	    (entry->proto == PROTO_UDP && kern_loopback_attach_datagrams(loopback, err) < 0))
		return -1;
	if (bpf_map_update_elem(loopback->map_fds[MAP_ENTRIES], &key, &value, BPF_ANY) < 0)
		return err_set(err, errno, "loopback entry %s/%s", addr_format(&entry->listen, text),
			       addr_proto_name(entry->proto));
	return 0;
}

int kern_loopback_take(struct kern_loopback *loopback, const struct addr *listen, enum proto proto, uint64_t *hits,
		       struct err *err)
{
	struct loopback_entry value = { 0 };
	struct loopback_key key;
	char text[ADDR_TEXT_SIZE];

	*hits = 0;
	if (kern_loopback_write_key(&key, listen, proto, err) < 0)
		return -1;
	if (bpf_map_lookup_and_delete_elem(loopback->map_fds[MAP_ENTRIES], &key, &value) < 0 && errno != ENOENT)
		return err_set(err, errno, "loopback entry %s/%s", addr_format(listen, text), addr_proto_name(proto));
	*hits = value.hits;
	return 0;
}

struct entry_list {
	VEC_OF(struct kern_loopback_entry);
};

static struct addr kern_loopback_read_listen(const struct loopback_key *key)
{
	struct addr listen = addr_loopback6(ntohs(key->port));

	if (key->family == LOOPBACK_INET)
		return addr_from_ipv4(ntohl(key->ip[0]), ntohs(key->port));
	memcpy(&listen.in6.sin6_addr, key->ip, sizeof(key->ip));
	return listen;
}

static int kern_loopback_read_entries(const struct kern_loopback *loopback, struct entry_list *list, struct err *err)
{
	int map = loopback->map_fds[MAP_ENTRIES];
	struct loopback_key key, *last = NULL;
	struct loopback_entry value;

	while (bpf_map_get_next_key(map, last, &key) == 0) {
		struct kern_loopback_entry *entry;

		last = &key;
		if (bpf_map_lookup_elem(map, &key, &value) < 0)
			return err_set(err, errno, "loopback entries");
		entry = vec_push(list);
		if (!entry)
			return err_set(err, ENOMEM, "loopback entries");
		*entry = (struct kern_loopback_entry){ .listen = kern_loopback_read_listen(&key),
						       .proto = key.proto == IPPROTO_TCP ? PROTO_TCP : PROTO_UDP,
						       .host_ip = ntohl(value.host_ip),
						       .guest_port = ntohs(value.guest_port),
						       .hits = value.hits };
	}
	return errno == ENOENT ? 0 : err_set(err, errno, "loopback entries");
}

int kern_loopback_each(struct kern_loopback *loopback,
		       void (*found)(void *context, const struct kern_loopback_entry *entry), void *context,
		       struct err *err)
{
	struct entry_list list = { 0 };
	int result = kern_loopback_read_entries(loopback, &list, err);

	for (size_t i = 0; result == 0 && i < list.count; i++)
		found(context, &list.items[i]);
	vec_free(&list);
	return result;
}
#endif
