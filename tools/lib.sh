# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Shared by the commands in tools/ and the VM's image. Sourced, never run.
# shellcheck disable=SC2034 # variables unused here are used by those scripts

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jobs=$(nproc)
export WEFT_STARTED=${WEFT_STARTED:-$EPOCHSECONDS} # goes on where a command starts itself again

# Debian's names of the packages that build weft, run it, run a real VM, and test it.
build_packages=(autoconf automake pkg-config gcc make libc6-dev libevent-dev libnl-3-dev
	libnl-route-3-dev libnftnl-dev libmnl-dev libinih-dev libjansson-dev libsystemd-dev libhiredis-dev libbpf-dev clang check)
run_packages=(iproute2 nftables util-linux curl procps)
vm_packages=(qemu-system-x86 cpio gzip dpkg)
test_packages=(python3 python3-pip python3-setuptools python3-wheel python3-pytest python3-pytest-xdist python3-pytest-timeout python3-yaml python3-jsonschema python3-h2 ethtool zsh fish
	iputils-ping conntrack iptables dpkg-dev debhelper lintian git chromium golang-go redis-server
	haproxy openssl socat nghttp2-client python3-websockets python3-grpcio)
lint_packages=(clang-format-14 clang-tidy-14 cppcheck shellcheck groff mypy) # the versions of Debian 12

if [ -t 1 ]; then
	bold=$'\e[1m' red=$'\e[31m' plain=$'\e[0m'
else
	bold='' red='' plain=''
fi

say() { printf '%s\n' "$*"; }

# A step's title, with the seconds since the start.
step() { printf '%s[%4d s] %s%s\n' "$bold" $((EPOCHSECONDS - WEFT_STARTED)) "$*" "$plain"; }

# fail WHAT [WHAT-TO-DO]
fail() {
	printf '%s%s: %s%s\n' "$red" "$(basename "$0")" "$1" "$plain" >&2
	[ $# -lt 2 ] || printf '  what to do: %s\n' "$2" >&2
	exit 1
}

# The comment at the head of a script: what --help prints.
usage() { sed -n '3,${/^#/!q;s/^# \{0,1\}//p}' "${self:-$0}"; }

# wrong_option WHAT: for use before anything is installed or built.
wrong_option() {
	printf '%s%s: %s%s\n' "$red" "$(basename "$0")" "$1" "$plain" >&2
	usage >&2
	exit 2
}

# check_value OPTION VALUE: refuses values of pytest's options that pytest would refuse, as far as that can be told without pytest.
check_value() {
	case $1=$2 in
	-[km]=) ;;
	*=) wrong_option "$1 needs a value" ;;
	-n=auto | -n=logical | --numprocesses=auto | --numprocesses=logical) ;;
	-n=*[!0-9]* | --numprocesses=*[!0-9]* | --maxfail=*[!0-9]* | --durations=*[!0-9]*) wrong_option "$1 needs a number, not $2" ;;
	--timeout=*[!0-9.]* | --timeout=*.*.* | --durations-min=*[!0-9.]* | --durations-min=*.*.*) wrong_option "$1 needs seconds, not $2" ;;
	--timeout[-_]method=signal | --timeout[-_]method=thread) ;;
	--tb=auto | --tb=long | --tb=short | --tb=line | --tb=native | --tb=no) ;;
	--color=yes | --color=no | --color=auto) ;;
	--capture=fd | --capture=sys | --capture=no | --capture=tee-sys) ;;
	--show-capture=no | --show-capture=stdout | --show-capture=stderr | --show-capture=log | --show-capture=all) ;;
	--dist=each | --dist=load | --dist=loadscope | --dist=loadfile | --dist=loadgroup | --dist=worksteal | --dist=no) ;;
	--timeout[-_]method=* | --tb=* | --color=* | --capture=* | --show-capture=* | --dist=*) wrong_option "what is $2, for $1?" ;;
	-W=error* | -W=ignore* | -W=always* | -W=default* | -W=module* | -W=once*) ;;
	--log-level=[0-9]* | --log-level=[Dd][Ee][Bb][Uu][Gg] | --log-level=[Ii][Nn][Ff][Oo] | --log-level=[Ww][Aa][Rr][Nn][Ii][Nn][Gg] | \
		--log-level=[Ee][Rr][Rr][Oo][Rr] | --log-level=[Cc][Rr][Ii][Tt][Ii][Cc][Aa][Ll]) ;;
	-W=* | --log-level=*) wrong_option "what is $2, for $1?" ;;
	-c=*) [ -f "$2" ] || wrong_option "there is no file $2, for -c" ;;
	-o=*=* | --override-ini=*=*) ;;
	-o=* | --override-ini=*) wrong_option "$1 needs NAME=VALUE, not $2" ;;
	esac
}

# check_pytest_options ARGUMENT...: refuses options that pytest does not know. They are in a list here, because pytest may not be
# installed yet. Arguments behind `--' are not checked.
check_pytest_options() {
	while [ $# -gt 0 ]; do
		case $1 in
		--) return 0 ;;
		-h | --help) usage; exit 0 ;;
		-[kmnprcoW] | --maxfail | --durations | --durations-min | --timeout | --timeout[-_]method | --tb | --deselect | --ignore | \
			--ignore-glob | --junit-xml | --basetemp | --color | --dist | --numprocesses | --capture | --show-capture | \
			--override-ini | --log-level | --log-file)
			case ${2--} in -*) wrong_option "$1 needs a value" ;; esac
			check_value "$1" "$2"
			shift
			;;
		-[kmnprcoW]?*) check_value "${1:0:2}" "${1:2}" ;;
		--maxfail=* | --durations=* | --durations-min=* | --timeout=* | --timeout[-_]method=* | --tb=* | --deselect=* | --ignore=* | \
			--ignore-glob=* | --junit-xml=* | --basetemp=* | --color=* | --dist=* | --numprocesses=* | --capture=* | \
			--show-capture=* | --override-ini=* | --log-level=* | --log-file=*)
			check_value "${1%%=*}" "${1#*=}"
			;;
		--exitfirst | --verbose | --quiet | --showlocals | --full-trace | --no-header | --no-summary | --collect-only | --co) ;;
		--last-failed | --lf | --failed-first | --ff | --new-first | --nf | --stepwise | --sw | --cache-clear) ;;
		--pdb | --trace | --setup-show | --setup-plan | --setup-only | --fixtures | --markers | --runxfail) ;;
		--strict | --strict-config | --strict-markers) ;;
		--*) wrong_option "what is $1?" ;;
		-*[!xvqsl-]* | -) wrong_option "what is $1?" ;;
		-*) ;;
		*) wrong_option "what is $1?" ;;
		esac
		shift
	done
}

need_root() {
	[ "$(id -u)" = 0 ] || fail "needs root: it makes network namespaces" "sudo $0"
}

# limited SECONDS WHAT COMMAND...: a command that may hang gets a limit, and the message names it.
limited() {
	local seconds=$1 what=$2 status=0
	shift 2
	timeout --kill-after=10 "$seconds" "$@" || status=$?
	[ "$status" != 124 ] && [ "$status" != 137 ] || printf '%s: gave up after %s s: %s\n' "$(basename "$0")" "$seconds" "$what" >&2
	return "$status"
}

# quietly LOG COMMAND...: output goes to LOG, and its end is shown if the command fails.
quietly() {
	local log=$1 status=0
	shift
	"$@" >"$log" 2>&1 || status=$?
	[ "$status" = 0 ] || tail -n 40 "$log" >&2
	return "$status"
}

missing_packages() {
	local name status
	for name in "$@"; do
		status=$(dpkg-query -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null) || status=
		[ "${status:0:2}" = ii ] || printf '%s\n' "$name"
	done
}

update_package_lists() {
	[ -z "${lists_updated:-}" ] || return 0
	say "  asking the package archive what there is (apt-get update)"
	limited 300 "the package lists" apt-get -qq update || say "  apt-get update failed: going on with the lists that are there"
	lists_updated=yes
}

# Installs missing Debian packages, and says so. On other systems it only names them.
install_packages() {
	local missing
	if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
		say "  no apt-get here: taking it for granted that these, by Debian's names, are there: $*"
		return 0
	fi
	mapfile -t missing < <(missing_packages "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	update_package_lists
	say "  installing: ${missing[*]}"
	DEBIAN_FRONTEND=noninteractive limited 900 "the packages ${missing[*]}" \
		apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "${missing[@]}" >/dev/null ||
		fail "could not install ${missing[*]}" "apt-get install ${missing[*]}   (and see what it says)"
}

# obtainable PACKAGE...: whether each is there or could be installed.
obtainable() {
	local name policy
	command -v apt-cache >/dev/null || return 1
	for name in $(missing_packages "$@"); do
		policy=$(apt-cache policy "$name" 2>/dev/null) || return 1
		grep -q '^ *Candidate: [^(]' <<<"$policy" || return 1
	done
}

# build_in FOLDER [CONFIGURE-OPTION...]: configures unless that was done with these options, and makes all.
build_in() {
	local folder=$1 log=$1/build.log
	shift
	mkdir -p "$folder"
	if [ ! -x "$top/configure" ] || [ "$top/configure.ac" -nt "$top/configure" ]; then
		quietly "$log" limited 900 "autoreconf" "$top/autogen.sh" || fail "autogen.sh failed" "read $log"
	fi
	# make would find what was built among the sources, so configure refuses to build beside them.
	if [ -f "$top/config.status" ]; then
		say "  the source tree itself has a build in it: make distclean"
		quietly "$log" limited 300 "make distclean" make -C "$top" distclean || fail "make distclean failed" "read $log"
	fi
	if [ ! -f "$folder/Makefile" ] || [ "$(cat "$folder/configured-with" 2>/dev/null)" != "$*" ]; then
		(cd "$folder" && quietly build.log limited 900 "configure" "$top/configure" --quiet "$@") ||
			fail "configure failed" "read $log and $folder/config.log"
		printf '%s\n' "$*" >"$folder/configured-with"
	fi
	quietly "$log" limited 2700 "make" make -C "$folder" -j"$jobs" all ||
		fail "the build failed" "read $log"
}
