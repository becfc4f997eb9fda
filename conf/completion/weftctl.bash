# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Completion of weftctl(1) for bash. weftctl itself knows how a command line can go on.

_weftctl()
{
	local current="${COMP_WORDS[COMP_CWORD]}" word
	COMPREPLY=()
	# "--state=re" is three words to bash, and the last is what COMPREPLY replaces.
	[[ "$current" == "=" ]] && current=""

	while IFS=$'\t' read -r word _; do
		case "$word" in
		:files)
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "$current")
			;;
		:commands)
			mapfile -t COMPREPLY < <(compgen -c -- "$current")
			;;
		*)
			COMPREPLY+=("$word")
			;;
		esac
	done < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}

complete -F _weftctl weftctl
