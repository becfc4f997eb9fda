-- SPDX-License-Identifier: GPL-2.0-or-later
-- Where a sandbox is, for edge.cfg: one GET at Redis for each request, of the entry that weftd or E2B's API keeps there.
--
-- Sets txn.where to the host's address, or txn.why to the reason why there is none: "absent" (Redis has no entry, so the sandbox is not
-- there), "unreachable" (Redis did not answer, or with an error) or "unusable" (the entry names no address). Whether the address may be
-- dialed is for edge.cfg to say. The variables are those of the environment at the start, and so is the password.

assert(os.getenv("WEFT_EDGE_HOSTS"), "WEFT_EDGE_HOSTS is not set: the networks of your weft hosts, such as 10.0.0.0/24")
local address = os.getenv("WEFT_EDGE_REDIS") or "127.0.0.1:6379"
local prefix = os.getenv("WEFT_EDGE_KEY_PREFIX") or "sandbox:catalog:"
local password_file = os.getenv("WEFT_EDGE_REDIS_PASSWORD_FILE") or ""
local longest = 4096 -- bytes of an entry; E2B's has some 200

local path, host, port = address:match("^(unix@.+)$"), address:match("^(.+):(%d+)$")
assert(path or port, "WEFT_EDGE_REDIS is not ADDRESS:PORT or unix@PATH: " .. address)
host = path or host:gsub("[][]", "")

-- Each word goes with its length, so that none of them can end the command.
local function command(...)
	local text = "*" .. select("#", ...) .. "\r\n"
	for _, word in ipairs({ ... }) do
		text = text .. "$" .. #word .. "\r\n" .. word .. "\r\n"
	end
	return text
end

-- As weftd reads it: the password on a line, or the name of a user on a line before it.
local login = ""
if password_file ~= "" then
	local words = {}
	for line in io.lines(password_file) do
		words[#words + 1] = line ~= "" and line or nil
	end
	login = command("AUTH", table.unpack(words))
end

local function ask(socket, id)
	socket:settimeout(1)
	if not socket:connect(host, tonumber(port)) or not socket:send(login .. command("GET", prefix .. id)) then
		return nil, "unreachable"
	end
	if login ~= "" and socket:receive("*l") ~= "+OK" then
		return nil, "unreachable"
	end
	local length = tonumber((socket:receive("*l") or ""):match("^%$(-?%d+)"))
	if not length then
		return nil, "unreachable"
	elseif length < 0 then
		return nil, "absent"
	elseif length > longest then
		return nil, "unusable"
	end
	local entry = socket:receive(length)
	if not entry then
		return nil, "unreachable"
	end
	-- A literal of IPv4 or IPv6, that in brackets or not, and none of both: ::ffff:127.0.0.1 is only one more way to write an address.
	local where = entry:match('"orchestrator_ip"%s*:%s*"%s*%[?([%x.:]+)%]?%s*"')
	if not where or (where:find(":", 1, true) and where:find(".", 1, true)) then
		return nil, "unusable"
	end
	return where
end

core.register_action("weft_locate", { "http-req" }, function(txn)
	local socket = core.tcp()
	local where, why = ask(socket, txn:get_var("txn.id"))
	socket:close()
	if where then
		txn:set_var("txn.where", where)
	else
		txn:set_var("txn.why", why)
	end
end)
