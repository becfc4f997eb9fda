/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What concerns the host: the cards at the top, the addresses that are not open, doctor's findings, repairs, denials.
 */
const DENIALS_SHOWN = 12, REPAIRS_SHOWN = 12;
const troubles = new Map(); // what of the host is not as it should be: key -> event

function drawStates(counts) {
	$("states").replaceChildren(...STATES.map((state) => {
		const chip = make("button", "chip " + state, make("span", "dot"), (counts[state] || 0) + " " + state);
		chip.type = "button";
		chip.disabled = !counts[state] && list.state !== state;
		chip.setAttribute("aria-pressed", list.state === state);
		chip.addEventListener("click", () => { list.state = list.state === state ? null : state; scrollTo(0, 0); refresh(); });
		return chip;
	}));
}
/* All that is wrong: [class, words], the worst first. */
function hostProblems() {
	const found = [];
	for (const one of (host.status && host.status.not_open) || []) found.push(["bad", "not open: " + one.error + (one.what ? " (" + one.what + ")" : "")]);
	for (const event of troubles.values()) found.push(["bad", eventText(event)]);
	for (const one of host.findings ? host.findings.findings : [])
		if (one.status === "fail" || one.status === "warn")
			found.push([one.status === "fail" ? "bad" : "warn", one.check + ": " + one.detail, one.why, one.fix]);
	return found;
}
function drawHostCard() {
	const problems = hostProblems(), box = $("host-more"), repairs = host.events.filter((event) => event.type === "repair");
	$("host-summary").textContent = problems.length ? problems.length + (problems.length === 1 ? " problem: " : " problems: ") + problems[0][1] : "no problem known";
	$("host-summary").className = problems.length ? problems[0][0] : "faint";
	if (!$("host-card").open) return;
	box.replaceChildren();
	const wrong = section(box, host.findings && host.findings.measured_at ? "Findings, doctor's of " + clock(host.findings.measured_at) : "Findings");
	for (const [kind, words, why, fix] of problems) {
		wrong.append(make("p", kind, words));
		if (why) wrong.append(make("p", "small", "why: " + why));
		if (fix) wrong.append(make("p", "small", "fix: " + fix));
	}
	if (!problems.length) wrong.append(make("p", "faint", host.findings && host.findings.measured_at ? "none" : "none so far"));
	if (MEASURES) {
		const button = make("button", "examine", host.examining ? "examining \u2026" : "Examine the host");
		button.disabled = Boolean(host.examining);
		button.addEventListener("click", examineHost);
		wrong.append(button);
	} else if (!host.findings || !host.findings.measured_at) wrong.append(make("p", "small", "doctor was not asked by way of weftd yet; on the host: weftctl doctor"));
	const mended = section(box, "Repairs");
	for (const event of repairs.slice(-REPAIRS_SHOWN).reverse()) mended.append(make("p", "mono", clock(event.time) + "  " + (event.sandbox ? event.sandbox + "  " : "") + eventText(event)));
	if (!repairs.length) mended.append(make("p", "faint", "none that weftd still knows"));
	const denied = section(box, "Denials");
	for (const [rule, count] of host.denied) denied.append(make("p", "mono", rule + "  " + count + " packets"));
	for (const event of host.events.filter((one) => one.type === "denied").slice(-DENIALS_SHOWN).reverse())
		denied.append(make("p", "mono small", clock(event.time) + "  " + event.sandbox + "  " + eventText(event)));
	if (!denied.querySelector("p")) denied.append(make("p", "faint", "none"));
}
async function examineHost() {
	host.examining = true;
	refresh();
	try { host.findings = await get("/v1/doctor", 120000); } catch (error) { failed(error); }
	host.examining = false;
	refresh();
}
/* Events of the host and of all sandboxes, as far as this card shows them. */
function noteHost(event) {
	if (event.type !== "repair" && event.type !== "denied" && event.type !== "host") return;
	host.events.push(event);
	if (host.events.length > 400) host.events.splice(0, 200);
	if (event.sandbox || event.type === "denied") return;
	const key = event.type === "host" ? event.check : event.what;
	if (event.type === "host" ? event.status === "fail" && event.check !== "ports" : event.ok === false) troubles.set(key, event);
	else troubles.delete(key);
}

function drawSummary() {
	const counts = {}, to = new Float64Array(POINTS), from = new Float64Array(POINTS), status = host.status;
	let open = 0, held = 0, bad = 0;
	for (const entry of sandboxes.values()) {
		counts[entry.object.state] = (counts[entry.object.state] || 0) + 1;
		open += entry.open;
		held += entry.held;
		if (entry.rank === 0) bad++;
		for (let i = 0; i < POINTS; i++) { to[i] += entry.to[i]; from[i] += entry.from[i]; }
	}
	drawStates(counts);
	$("connections").textContent = open;
	$("held").textContent = held ? held + " held, waiting for a guest" : "";
	drawGraph($("total-graph"), to, from);
	$("total-to").textContent = "to guests " + bytes(latest(to)) + "/s, " + bytes(mean(to) * shownPoints() * 2) + " in all";
	$("total-from").textContent = "from guests " + bytes(latest(from)) + "/s, " + bytes(mean(from) * shownPoints() * 2) + " in all";
	if (status) {
		$("host").textContent = status.host || "";
		$("version").textContent = status.version;
		$("daemon").textContent = status.state === "running" ? "" : status.state;
		$("pool").textContent = status.pool.target ? status.pool.ready + " of " + status.pool.target : status.pool.ready || "off";
		$("pool-more").textContent = [[status.pool.quarantined, "in quarantine"], [status.pool.deleting, "going away"]].filter((p) => p[0]).map((p) => p.join(" ")).join(", ");
	}
	drawHostCard();
	bad += hostProblems().filter(([kind]) => kind === "bad").length;
	document.title = (lostSince ? "(not reachable) " : bad ? "(" + bad + ") " : "") + (status && status.host ? status.host + " \u2013 " : "") + "weft";
	document.documentElement.dataset.sandboxes = sandboxes.size;
}
