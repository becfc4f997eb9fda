/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leads clients of the host's loopback addresses straight to a guest. connect4/6 and sendmsg4 look up the address that a socket asks
 * for, and replace it by the sandbox's host address, which the kernel path serves. The other programs hide that from the client: its peer,
 * its own address, and the sender of a datagram read as if all had stayed on the loopback link.
 *
 * Some sockets could not reach the host address, and are left to weftd's listener: a socket that is bound to an address or a link, one with
 * a mark for policy routing, one for IPv6 alone, and a stream that must not go further than the link. So are the subflows of MPTCP, because
 * the program's socket would show the host address.
 * There is no sendmsg6, because the kernel refuses to send to a mapped address from there.
 *
 * The programs run for every socket of the cgroup, so each begins with the test that nearly all sockets fail.
 */
#include "bpf/loopback_maps.h"

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/in.h>

#define SOCK_STREAM 1
#define SOCK_DGRAM  2

/* The members of the kernel's structs that are read here. Where they lie in this kernel is found out when the programs are loaded. */
struct sock_common {
	unsigned char skc_ipv6only : 1;
	unsigned long skc_flags;
} __attribute__((preserve_access_index));

struct sock {
	struct sock_common __sk_common;
} __attribute__((preserve_access_index));

struct inet_sock {
	struct sock sk;
	__s16 uc_ttl; /* negative: nobody has set it */
} __attribute__((preserve_access_index));

enum sock_flags { SOCK_LOCALROUTE };

struct inet_connection_sock {
	struct inet_sock icsk_inet;
} __attribute__((preserve_access_index));

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	_Bool is_mptcp;
} __attribute__((preserve_access_index));

struct tcp6_sock {
	struct tcp_sock tcp;
} __attribute__((preserve_access_index));

struct udp_sock {
	struct inet_sock inet;
} __attribute__((preserve_access_index));

struct udp6_sock {
	struct udp_sock udp;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LOOPBACK_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct loopback_key);
	__type(value, struct loopback_entry);
} weft_entries SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct loopback_state);
} weft_state SEC(".maps");

/* What each connected socket had asked for. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct loopback_origin);
} weft_origin SEC(".maps");

/* The same of sockets that send datagrams without being connected. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct loopback_sent);
} weft_sent SEC(".maps");

char loopback_licence[] SEC("license") = "GPL";

static __always_inline int loopback_is_127(__u32 ip)
{
	return (ip & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

/* The first three words of an IPv4 address that is written as IPv6. */
static __always_inline int loopback_is_mapped(__u32 first, __u32 second, __u32 third)
{
	return first == 0 && second == 0 && third == bpf_htonl(0xffff);
}

/* Where a socket is led. */
struct loopback_way {
	__u32 host_ip;
	__u16 guest_port;
	__u64 since_ns; /* CLOCK_MONOTONIC: the entry existed at this time */
};

/*
 * The entry for the address that the socket asks for, while entries count for it, and in WAY what it holds; else NULL. KEY has the address,
 * and gets the rest.
 *
 * A deleted element may become another entry while it is read here. So the entry is looked up twice, and must be the same both times. The
 * time of WAY is taken between the two, so that it lies before the entry's deletion: sockets that were led by a later entry have a later time.
 */
static __always_inline struct loopback_entry *loopback_find(struct bpf_sock_addr *ctx, struct loopback_key *key,
							    struct loopback_way *way)
{
	struct loopback_entry *entry;
	struct loopback_state *state;
	__u32 zero = 0;

	key->port = (__u16)ctx->user_port;
	key->proto = (__u8)ctx->protocol;
	entry = bpf_map_lookup_elem(&weft_entries, key);
	if (!entry)
		return 0;
	way->host_ip = entry->host_ip;
	way->guest_port = entry->guest_port;
	/* A raw socket may have one of these protocols, too, and is no client. */
	if (ctx->protocol == IPPROTO_TCP ? ctx->type != SOCK_STREAM
					 : ctx->protocol != IPPROTO_UDP || ctx->type != SOCK_DGRAM)
		return 0;
	way->since_ns = bpf_ktime_get_ns();
	state = bpf_map_lookup_elem(&weft_state, &zero);
	if (!state || state->netns_cookie != bpf_get_netns_cookie(ctx) || way->since_ns >= state->until_ns)
		return 0;
	entry = bpf_map_lookup_elem(&weft_entries, key);
	return entry && entry->host_ip == way->host_ip && entry->guest_port == way->guest_port ? entry : 0;
}

/* Whether nothing ties the socket to a link or to a routing table. */
static __always_inline int loopback_is_free(struct bpf_sock *sk)
{
	return sk->bound_dev_if == 0 && sk->mark == 0;
}

/* Of TCP alone is it known: the guest is one hop away, and its host address is not on the link. */
static __always_inline int loopback_goes_far(const struct tcp_sock *tcp)
{
	if (tcp->inet_conn.icsk_inet.uc_ttl == 1)
		return 0;
	return !(tcp->inet_conn.icsk_inet.sk.__sk_common.skc_flags >>
		     bpf_core_enum_value(enum sock_flags, SOCK_LOCALROUTE) &
		 1);
}

static __always_inline int loopback_is_mptcp(const struct tcp_sock *tcp)
{
	return bpf_core_field_exists(tcp->is_mptcp) && tcp->is_mptcp;
}

/* Whether nothing else about the socket of a stream is in the way; datagrams have nothing of that. */
static __always_inline int loopback_is_plain(struct bpf_sock *sk)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

	return !tcp || (loopback_goes_far(tcp) && !loopback_is_mptcp(tcp));
}

/* Whether the socket is for IPv6 alone, and so cannot be connected to the host address; true too where that cannot be read. */
static __always_inline int loopback_is_ipv6_only(struct bpf_sock_addr *ctx, struct bpf_sock *sk)
{
	if (ctx->protocol == IPPROTO_TCP) {
		struct tcp6_sock *tcp = bpf_skc_to_tcp6_sock(sk);

		return !tcp || BPF_CORE_READ_BITFIELD(&tcp->tcp.inet_conn.icsk_inet.sk.__sk_common, skc_ipv6only);
	}
	struct udp6_sock *udp = bpf_skc_to_udp6_sock(sk);

	return !udp || BPF_CORE_READ_BITFIELD(&udp->udp.inet.sk.__sk_common, skc_ipv6only);
}

static __always_inline void loopback_write(struct loopback_origin *origin, const struct loopback_key *asked,
					   const struct loopback_way *way)
{
	origin->asked = *asked;
	origin->host_ip = way->host_ip;
	origin->guest_port = way->guest_port;
	origin->since_ns = way->since_ns;
}

/* Notes where a socket that connects is led. 0: there is no memory for the note, so it must not be led. */
static __always_inline int loopback_note(struct bpf_sock *sk, const struct loopback_key *asked,
					 struct loopback_entry *entry, const struct loopback_way *way)
{
	struct loopback_origin *origin = bpf_sk_storage_get(&weft_origin, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!origin)
		return 0;
	loopback_write(origin, asked, way);
	__sync_fetch_and_add(&entry->hits, 1);
	return 1;
}

static __always_inline int loopback_is_led_to(const struct loopback_origin *origin, __u32 ip, __u16 port)
{
	return origin->host_ip == ip && origin->guest_port == port && origin->asked.family != 0;
}

/*
 * The same for a datagram. Datagrams of one socket that ask for the same address are a flow, which is one hit, as long as the socket sends
 * to no more than LOOPBACK_SENT destinations by turns.
 */
static __always_inline int loopback_note_sent(struct bpf_sock *sk, const struct loopback_key *asked,
					      struct loopback_entry *entry, const struct loopback_way *way)
{
	struct loopback_sent *sent = bpf_sk_storage_get(&weft_sent, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	struct loopback_origin *place = 0;

	if (!sent)
		return 0;
#pragma unroll
	for (int i = 0; i < LOOPBACK_SENT; i++)
		if (loopback_is_led_to(&sent->origins[i], way->host_ip, way->guest_port))
			place = &sent->origins[i];
	if (place && place->asked.ip[0] == asked->ip[0] && place->asked.port == asked->port)
		return 1;
	if (!place) {
		place = &sent->origins[sent->next % LOOPBACK_SENT];
		sent->next++;
	}
	loopback_write(place, asked, way);
	__sync_fetch_and_add(&entry->hits, 1);
	return 1;
}

/* What a connected socket had asked for when it was led to IP and PORT; NULL: it was not led there. */
static __always_inline struct loopback_origin *loopback_asked(struct bpf_sock *sk, __u32 ip, __u16 port)
{
	struct loopback_origin *origin = bpf_sk_storage_get(&weft_origin, sk, 0, 0);

	return origin && loopback_is_led_to(origin, ip, port) ? origin : 0;
}

/* The same for the sender of a datagram, whether the socket is connected or not. */
static __always_inline struct loopback_origin *loopback_asked_of_sender(struct bpf_sock *sk, __u32 ip, __u16 port)
{
	struct loopback_sent *sent = bpf_sk_storage_get(&weft_sent, sk, 0, 0);

	if (sent) {
#pragma unroll
		for (int i = 0; i < LOOPBACK_SENT; i++)
			if (loopback_is_led_to(&sent->origins[i], ip, port))
				return &sent->origins[i];
	}
	return loopback_asked(sk, ip, port);
}

SEC("cgroup/connect4")
int loopback_connect4(struct bpf_sock_addr *ctx)
{
	__u32 ip = ctx->user_ip4;
	struct bpf_sock *sk = ctx->sk;

	if (!loopback_is_127(ip) || !sk)
		return 1;
	struct loopback_key key = { .ip = { ip }, .family = LOOPBACK_INET };
	struct loopback_entry *entry;
	struct loopback_way way;

	entry = loopback_find(ctx, &key, &way);
	if (!entry || !loopback_is_free(sk) || sk->src_ip4 != 0 || !loopback_is_plain(sk) ||
	    !loopback_note(sk, &key, entry, &way))
		return 1;
	ctx->user_ip4 = way.host_ip;
	ctx->user_port = way.guest_port;
	return 1;
}

SEC("cgroup/connect6")
int loopback_connect6(struct bpf_sock_addr *ctx)
{
	__u32 first = ctx->user_ip6[0], second = ctx->user_ip6[1], third = ctx->user_ip6[2], last = ctx->user_ip6[3];
	int mapped = loopback_is_mapped(first, second, third) && loopback_is_127(last);
	struct bpf_sock *sk = ctx->sk;

	if ((!mapped && (first != 0 || second != 0 || third != 0 || last != bpf_htonl(1))) || !sk)
		return 1;
	struct loopback_key key = { .ip = { 0, 0, 0, last }, .family = LOOPBACK_INET6 };
	struct loopback_entry *entry;
	struct loopback_way way;

	if (mapped) {
		key.ip[0] = last;
		key.ip[3] = 0;
		key.family = LOOPBACK_INET;
	}
	entry = loopback_find(ctx, &key, &way);
	if (!entry || !loopback_is_free(sk) || sk->src_ip6[0] != 0 || sk->src_ip6[1] != 0 || sk->src_ip6[2] != 0 ||
	    sk->src_ip6[3] != 0 || loopback_is_ipv6_only(ctx, sk) || !loopback_is_plain(sk) ||
	    !loopback_note(sk, &key, entry, &way))
		return 1;
	ctx->user_ip6[0] = 0;
	ctx->user_ip6[1] = 0;
	ctx->user_ip6[2] = bpf_htonl(0xffff);
	ctx->user_ip6[3] = way.host_ip;
	ctx->user_port = way.guest_port;
	return 1;
}

/* msg_src_ip4 is the address of the socket's bind(), or of the message's IP_PKTINFO. */
SEC("cgroup/sendmsg4")
int loopback_sendmsg4(struct bpf_sock_addr *ctx)
{
	__u32 ip = ctx->user_ip4;
	struct bpf_sock *sk = ctx->sk;

	if (!loopback_is_127(ip) || !sk)
		return 1;
	struct loopback_key key = { .ip = { ip }, .family = LOOPBACK_INET };
	struct loopback_entry *entry;
	struct loopback_way way;

	entry = loopback_find(ctx, &key, &way);
	if (!entry || !loopback_is_free(sk) || ctx->msg_src_ip4 != 0 || !loopback_note_sent(sk, &key, entry, &way))
		return 1;
	ctx->user_ip4 = way.host_ip;
	ctx->user_port = way.guest_port;
	return 1;
}

static __always_inline void loopback_answer4(struct bpf_sock_addr *ctx, const struct loopback_origin *origin)
{
	ctx->user_ip4 = origin->asked.ip[0];
	ctx->user_port = origin->asked.port;
}

/* A socket of IPv6 that asked for 127.0.0.1 did so by its mapped address, ::ffff:127.0.0.1. */
static __always_inline void loopback_answer6(struct bpf_sock_addr *ctx, const struct loopback_origin *origin)
{
	int mapped = origin->asked.family == LOOPBACK_INET;

	ctx->user_ip6[0] = 0;
	ctx->user_ip6[1] = 0;
	ctx->user_ip6[2] = mapped ? bpf_htonl(0xffff) : 0;
	ctx->user_ip6[3] = mapped ? origin->asked.ip[0] : origin->asked.ip[3];
	ctx->user_port = origin->asked.port;
}

SEC("cgroup/recvmsg4")
int loopback_recvmsg4(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct loopback_origin *origin;

	/* No socket was led to a loopback address. */
	if (!sk || loopback_is_127(ctx->user_ip4))
		return 1;
	origin = loopback_asked_of_sender(sk, ctx->user_ip4, (__u16)ctx->user_port);
	if (origin)
		loopback_answer4(ctx, origin);
	return 1;
}

SEC("cgroup/recvmsg6")
int loopback_recvmsg6(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct loopback_origin *origin;

	if (!sk || !loopback_is_mapped(ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2]))
		return 1;
	origin = loopback_asked_of_sender(sk, ctx->user_ip6[3], (__u16)ctx->user_port);
	if (origin)
		loopback_answer6(ctx, origin);
	return 1;
}

SEC("cgroup/getpeername4")
int loopback_getpeername4(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct loopback_origin *origin;

	if (!sk)
		return 1;
	origin = loopback_asked(sk, ctx->user_ip4, (__u16)ctx->user_port);
	if (origin)
		loopback_answer4(ctx, origin);
	return 1;
}

SEC("cgroup/getpeername6")
int loopback_getpeername6(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct loopback_origin *origin;

	if (!sk || !loopback_is_mapped(ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2]))
		return 1;
	origin = loopback_asked(sk, ctx->user_ip6[3], (__u16)ctx->user_port);
	if (origin)
		loopback_answer6(ctx, origin);
	return 1;
}

/* The port is the socket's own. On the loopback link its address would be 127.0.0.1, or ::1, whichever was asked for. */
SEC("cgroup/getsockname4")
int loopback_getsockname4(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	if (sk && ctx->user_ip4 != 0 && loopback_asked(sk, sk->dst_ip4, sk->dst_port))
		ctx->user_ip4 = bpf_htonl(0x7f000001);
	return 1;
}

SEC("cgroup/getsockname6")
int loopback_getsockname6(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct loopback_origin *origin;

	if (!sk || !loopback_is_mapped(ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2]) || ctx->user_ip6[3] == 0)
		return 1;
	origin = loopback_asked(sk, sk->dst_ip4, sk->dst_port);
	if (!origin)
		return 1;
	if (origin->asked.family == LOOPBACK_INET6)
		ctx->user_ip6[2] = 0;
	ctx->user_ip6[3] = origin->asked.family == LOOPBACK_INET6 ? bpf_htonl(1) : bpf_htonl(0x7f000001);
	return 1;
}
