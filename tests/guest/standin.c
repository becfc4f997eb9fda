/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stand-in for VMs. A sandbox's namespace sees a VMM and a guest behind it, without a virtual machine.
 *
 * For each sandbox it opens tap0 inside the sandbox's namespace as Firecracker does (virtio headers of 12 bytes, offloads
 * negotiated) and carries frames between it and a TAP named eth0 in a namespace of its own, the guest, which has the guest's
 * MAC, address and default route. Servers and clients that play the guest's programs run there. Frames keep their virtio
 * headers on the way, so that segmentation and checksums stay undone across the pair as they do across virtio.
 *
 * It runs until its stdin ends. Each line on stdin acts on one guest and is answered by "ok" or "error TEXT":
 *
 *	close PATH   the VMM closes tap0; the guest and its connections stay, as in a snapshot on disk
 *	open PATH    the VMM opens it again
 *	freeze PATH  no frame moves, but tap0 stays open, as in a paused VM
 *	thaw PATH
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef TUN_F_USO4 /* Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum {
	HEADER = 12,           /* struct virtio_net_hdr_v1 */
	FRAME = 128 * 1024,    /* the largest segmentation offload, 64 KiB, with room */
	FRAMES_A_WAKE_UP = 64, /* then the other guests are served */
	WAKE_UPS = 64,
	COMMAND = 4096,
};

struct guest;

/* One TAP of a pair; an epoll event points here. */
struct side {
	struct guest *guest;
	int fd; /* -1: closed */
};

struct guest {
	const char *path; /* of the sandbox's namespace */
	int guest_ns;
	struct side sandbox; /* tap0, as the VMM holds it */
	struct side inside;  /* eth0 of the guest */
	bool frozen;
};

static struct {
	const char *tap;
	const char *mac;
	const char *address;
	const char *gateway;
	const char *gateway_mac; /* NULL: found by ARP */
	bool offloads;
} options = { "tap0", "02:FC:00:00:00:05", "169.254.0.21", "169.254.0.22", NULL, true };

static struct guest *guests;
static size_t guest_count;
static int epoll_fd = -1;
static int home_ns = -1;

/* Goes into the namespace at PATH. 0, or -1 with errno. */
static int enter(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int result = fd < 0 ? -1 : setns(fd, CLONE_NEWNET);

	if (fd >= 0)
		close(fd);
	return result;
}

/* The process must not stay in a sandbox's namespace, which it would keep alive. Its open tap0 does so in any case. */
static void go_home(void)
{
	if (setns(home_ns, CLONE_NEWNET) < 0)
		err(1, "setns back");
}

/* Asks for all that the kernel offers. USO came with Linux 6.2. */
static void negotiate_offloads(int fd)
{
	unsigned basic = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;

	if (!options.offloads)
		basic = 0;
	else if (ioctl(fd, TUNSETOFFLOAD, basic | TUN_F_USO4 | TUN_F_USO6) == 0)
		return;
	if (ioctl(fd, TUNSETOFFLOAD, basic) < 0)
		err(1, "TUNSETOFFLOAD");
}

/* Opens TAP in the namespace that the process is in. The descriptor, or -1 with errno. */
static int open_tap(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int size = HEADER;
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		err(1, "/dev/net/tun");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request) < 0) {
		int code = errno;

		close(fd);
		errno = code;
		return -1;
	}
	if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
		err(1, "TUNSETVNETHDRSZ");
	negotiate_offloads(fd);
	return fd;
}

static void watch(struct side *side)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = side };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, side->fd, &event) < 0)
		err(1, "epoll_ctl");
}

static void ask(int fd, unsigned long request, void *argument, const char *what)
{
	if (ioctl(fd, request, argument) < 0)
		err(1, "%s", what);
}

static void kern_link_up(int fd, const char *name)
{
	struct ifreq request = { 0 };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	ask(fd, SIOCGIFFLAGS, &request, "SIOCGIFFLAGS");
	request.ifr_flags |= IFF_UP;
	ask(fd, SIOCSIFFLAGS, &request, "SIOCSIFFLAGS");
}

static void set_address(int fd, unsigned long what, const char *link, const char *address)
{
	struct ifreq request = { 0 };
	struct sockaddr_in *place = (struct sockaddr_in *)&request.ifr_addr;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", link);
	place->sin_family = AF_INET;
	if (inet_pton(AF_INET, address, &place->sin_addr) != 1)
		errx(1, "%s is no address", address);
	ask(fd, what, &request, address);
}

static void read_mac(const char *text, struct sockaddr *address)
{
	unsigned char *mac = (unsigned char *)address->sa_data;

	address->sa_family = ARPHRD_ETHER;
	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6)
		errx(1, "%s is no MAC", text);
}

static void set_mac(int fd, const char *link)
{
	struct ifreq request = { 0 };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", link);
	read_mac(options.mac, &request.ifr_hwaddr);
	ask(fd, SIOCSIFHWADDR, &request, "SIOCSIFHWADDR");
}

/* Adds the gateway, as a guest from a snapshot knows it. All namespaces of a machine share one table of neighbours, which
 * thousands of stand-ins would fill if they learned theirs. No virtual machine does so. */
static void know_gateway(int fd)
{
	struct arpreq request = { .arp_flags = ATF_COM | ATF_PERM };
	struct sockaddr_in *place = (struct sockaddr_in *)&request.arp_pa;

	place->sin_family = AF_INET;
	inet_pton(AF_INET, options.gateway, &place->sin_addr);
	read_mac(options.gateway_mac, &request.arp_ha);
	snprintf(request.arp_dev, sizeof(request.arp_dev), "eth0");
	ask(fd, SIOCSARP, &request, "SIOCSARP");
}

static int get_mtu(const char *link)
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", link);
	ask(fd, SIOCGIFMTU, &request, link);
	close(fd);
	return request.ifr_mtu;
}

static void set_mtu(int fd, const char *link, int mtu)
{
	struct ifreq request = { .ifr_mtu = mtu };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", link);
	ask(fd, SIOCSIFMTU, &request, "SIOCSIFMTU");
}

static void add_default_route(int fd)
{
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	struct sockaddr_in any = { .sin_family = AF_INET };
	struct sockaddr_in gateway = { .sin_family = AF_INET };

	inet_pton(AF_INET, options.gateway, &gateway.sin_addr);
	memcpy(&route.rt_dst, &any, sizeof(any));
	memcpy(&route.rt_genmask, &any, sizeof(any));
	memcpy(&route.rt_gateway, &gateway, sizeof(gateway));
	ask(fd, SIOCADDRT, &route, "default route");
}

/* Keeps the guest from sending IPv6 by itself. A kernel without IPv6 has no such file. */
static void silence_ipv6(void)
{
	int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "1", 1) != 1)
		warn("disable_ipv6");
	close(fd);
}

static void build_guest(struct guest *guest, int mtu)
{
	if (unshare(CLONE_NEWNET) < 0)
		err(1, "unshare");
	guest->guest_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	silence_ipv6();
	guest->inside.fd = open_tap("eth0");
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (guest->guest_ns < 0 || guest->inside.fd < 0 || fd < 0)
		err(1, "the guest of %s", guest->path);

	/* So that it is removed with the namespace, in the kernel's lots. Removing a TAP with its descriptor takes 20 ms. */
	if (ioctl(guest->inside.fd, TUNSETPERSIST, 1) < 0)
		err(1, "TUNSETPERSIST");
	kern_link_up(fd, "lo");
	set_mac(fd, "eth0");
	set_mtu(fd, "eth0", mtu);
	set_address(fd, SIOCSIFADDR, "eth0", options.address);
	set_address(fd, SIOCSIFNETMASK, "eth0", "255.255.255.252");
	kern_link_up(fd, "eth0");
	add_default_route(fd);
	if (options.gateway_mac)
		know_gateway(fd);
	close(fd);
}

/* Opens tap0 as Firecracker does, except that a missing TAP is not made. 0, or -1 with errno. */
static int attach(struct guest *guest)
{
	if (enter(guest->path) < 0)
		return -1;
	int fd = if_nametoindex(options.tap) ? open_tap(options.tap) : -1;
	int code = errno;

	go_home();
	guest->sandbox.fd = fd;
	if (fd >= 0 && !guest->frozen)
		watch(&guest->sandbox);
	errno = code;
	return fd < 0 ? -1 : 0;
}

static void start(struct guest *guest, const char *path)
{
	*guest = (struct guest){ .path = path, .sandbox = { guest, -1 }, .inside = { guest, -1 } };
	if (enter(path) < 0)
		err(1, "%s", path);
	build_guest(guest, get_mtu(options.tap));
	watch(&guest->inside);
	if (attach(guest) < 0)
		err(1, "%s in %s", options.tap, path);
	printf("guest %s /proc/%d/fd/%d\n", path, getpid(), guest->guest_ns);
}

static void let_go(struct side *side)
{
	if (side->fd >= 0)
		close(side->fd);
	side->fd = -1;
}

/* Carries the frames of FROM, up to the budget. Frames that the other side does not take are lost, as on a wire. */
static void carry(struct side *from)
{
	static char frame[FRAME];
	struct guest *guest = from->guest;
	struct side *to = from == &guest->inside ? &guest->sandbox : &guest->inside;

	for (int i = 0; i < FRAMES_A_WAKE_UP && from->fd >= 0; i++) {
		ssize_t length = read(from->fd, frame, sizeof(frame));

		if (length < 0) {
			if (errno == EAGAIN || errno == EINTR)
				return;
			if (errno != EBADFD) /* the TAP was deleted under it, which is part of many tests */
				warn("%s of %s", from == &guest->sandbox ? options.tap : "eth0", guest->path);
			let_go(from);
			return;
		}
		if (to->fd >= 0 && write(to->fd, frame, (size_t)length) < 0)
			continue;
	}
}

static void unwatch(struct side *side)
{
	if (side->fd >= 0)
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, side->fd, NULL);
}

static void freeze(struct guest *guest)
{
	if (guest->frozen)
		return;
	unwatch(&guest->sandbox);
	unwatch(&guest->inside);
	guest->frozen = true;
}

static void thaw(struct guest *guest)
{
	if (!guest->frozen)
		return;
	guest->frozen = false;
	watch(&guest->inside);
	if (guest->sandbox.fd >= 0)
		watch(&guest->sandbox);
}

static void obey(char *line)
{
	char *path = strchr(line, ' ');
	struct guest *guest = NULL;

	if (path)
		*path++ = '\0';
	for (size_t i = 0; path && i < guest_count; i++)
		if (strcmp(guests[i].path, path) == 0)
			guest = &guests[i];
	if (!guest) {
		printf("error no such guest\n");
		return;
	}
	if (strcmp(line, "freeze") == 0) {
		freeze(guest);
	} else if (strcmp(line, "thaw") == 0) {
		thaw(guest);
	} else if (strcmp(line, "close") == 0) {
		let_go(&guest->sandbox);
	} else if (strcmp(line, "open") == 0) {
		if (guest->sandbox.fd < 0 && attach(guest) < 0) {
			printf("error %s\n", strerror(errno));
			return;
		}
	} else {
		printf("error unknown command %s\n", line);
		return;
	}
	printf("ok\n");
}

/* Reads commands; false at the end of stdin. */
static bool listen_to_stdin(void)
{
	static char text[COMMAND];
	static size_t used;
	ssize_t length = read(STDIN_FILENO, text + used, sizeof(text) - 1 - used);

	if (length <= 0)
		return length < 0 && (errno == EINTR || errno == EAGAIN);
	used += (size_t)length;
	text[used] = '\0';

	char *line = text;
	for (char *end; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		obey(line);
		fflush(stdout);
	}
	used -= (size_t)(line - text);
	memmove(text, line, used);
	return used < sizeof(text) - 1;
}

static void run(void)
{
	struct epoll_event events[WAKE_UPS];

	for (;;) {
		int count = epoll_wait(epoll_fd, events, WAKE_UPS, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr)
				carry(events[i].data.ptr);
			else if (!listen_to_stdin())
				return;
		}
	}
}

/* A guest takes three descriptors, and a fourth while it is made, so hundreds need more than the usual 1,024. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void usage(void)
{
	errx(64, "usage: standin [--tap NAME] [--mac MAC] [--address IP] [--gateway IP] [--gateway-mac MAC] [--plain] "
		 "NETNS-PATH...");
}

static void read_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "tap", required_argument, NULL, 't' },
		{ "mac", required_argument, NULL, 'm' },
		{ "address", required_argument, NULL, 'a' },
		{ "gateway", required_argument, NULL, 'g' },
		{ "plain", no_argument, NULL, 'p' },
		{ "gateway-mac", required_argument, NULL, 'M' },
		{ 0 },
	};

	for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		if (c == 't')
			options.tap = optarg;
		else if (c == 'm')
			options.mac = optarg;
		else if (c == 'a')
			options.address = optarg;
		else if (c == 'g')
			options.gateway = optarg;
		else if (c == 'M')
			options.gateway_mac = optarg;
		else if (c == 'p')
			options.offloads = false;
		else
			usage();
	}
	if (optind == argc)
		usage();
}

int main(int argc, char **argv)
{
	struct epoll_event event = { .events = EPOLLIN };

	read_options(argc, argv);
	raise_descriptor_limit();
	guest_count = (size_t)(argc - optind);
	guests = calloc(guest_count, sizeof(*guests));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	home_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (!guests || epoll_fd < 0 || home_ns < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0)
		err(1, "start");
	for (size_t i = 0; i < guest_count; i++)
		start(&guests[i], argv[optind + (int)i]);
	printf("ready\n");
	fflush(stdout);

	run();
	free(guests);
	return 0;
}
