# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of weftctl(1) for fish. weftctl itself knows how a command line can go on.

function __weftctl_complete
	set -l words (commandline -opc)
	set -l current (commandline -ct)
	for line in ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
		switch $line
			case :files
				__fish_complete_path "$current"
			case :commands
				complete -C "$current"
			case '*'
				echo $line
		end
	end
end

complete -c weftctl -f -a '(__weftctl_complete)'
