# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Completion of weftctl(1) for bash. The commands and options are compared with its table by tests/unit/cli/docs_test.c.

_weftctl_commands="register unregister ls show wait publish unpublish default policy pause resume reach diagnose doctor
events connections top status exec"

# -g: bash sources this file inside one of its own functions, at the first completion.
declare -gA _weftctl_options=(
	[register]="--port --default --ready-port --tap-owner --label --body"
	[unregister]="--drain"
	[ls]="--state --label"
	[show]="--firecracker --cloud-hypervisor --qemu"
	[wait]="--state --timeout"
	[default]="--off"
	[policy]="--allow --deny --internet"
	[resume]="--flows"
	[reach]="--proto"
	[doctor]="--config"
	[events]="--sandbox --since --boot"
	[top]="--batch --interval --count"
)

# Suggests values for an option that takes one; nothing for free-form values.
_weftctl_value()
{
	case "$2/$1" in
	*/--socket | */--body | */--config)
		mapfile -t COMPREPLY < <(compgen -f -- "$3")
		;;
	wait/--state)
		mapfile -t COMPREPLY < <(compgen -W "attached ready detached paused" -- "$3")
		;;
	ls/--state)
		mapfile -t COMPREPLY < <(compgen -W "creating waiting attached ready detached paused draining failed" -- "$3")
		;;
	*/--internet)
		mapfile -t COMPREPLY < <(compgen -W "yes no" -- "$3")
		;;
	*/--flows)
		mapfile -t COMPREPLY < <(compgen -W "keep reset" -- "$3")
		;;
	*/--proto)
		mapfile -t COMPREPLY < <(compgen -W "tcp udp" -- "$3")
		;;
	*/--sandbox)
		mapfile -t COMPREPLY < <(compgen -W "$(_weftctl_ids)" -- "$3")
		;;
	*/--port | */--ready-port | */--tap-owner | */--label | */--drain | */--timeout | */--allow | */--deny | */--since | */--boot | */--interval | */--count | */--deadline) ;;
	*)
		return 1
		;;
	esac
}

# Prints the ids of the daemon's sandboxes; none if it is not reachable. Nobody waits at a prompt for longer than a second.
_weftctl_ids()
{
	local words
	words=$("${COMP_WORDS[0]}" ${_weftctl_socket:+--socket "$_weftctl_socket"} --deadline 1 ls 2>/dev/null | awk 'NR > 1 { print $1 }')
	printf '%s\n' "$words"
}

_weftctl()
{
	local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD - 1]}"
	local command="" operands=0 _weftctl_socket="" i
	COMPREPLY=()

	for ((i = 1; i < COMP_CWORD; i++)); do
		case "${COMP_WORDS[i]}" in
		--socket)
			_weftctl_socket="${COMP_WORDS[++i]}"
			;;
		--port | --ready-port | --tap-owner | --label | --body | --drain | --state | --timeout | --allow | --deny | --internet | --flows | --proto | --config | --sandbox | --since | --boot | --interval | --count | --deadline)
			((i++))
			;;
		--*) ;;
		*)
			if [[ -z "$command" ]]; then command="${COMP_WORDS[i]}"; else ((operands++)); fi
			;;
		esac
	done

	_weftctl_value "$previous" "$command" "$current" && return
	if [[ "$current" == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${_weftctl_options[${command:-none}]} --socket --deadline --json --help --version" -- "$current")
	elif [[ -z "$command" ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$_weftctl_commands" -- "$current")
	elif ((operands == 0)); then
		case "$command" in
		ls | doctor | events | top | status | register) ;;
		*)
			mapfile -t COMPREPLY < <(compgen -W "$(_weftctl_ids)" -- "$current")
			;;
		esac
	elif [[ "$command" == exec ]]; then
		mapfile -t COMPREPLY < <(compgen -c -- "$current")
	fi
}

complete -F _weftctl weftctl
