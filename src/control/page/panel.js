/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The panel shows one sandbox, the one that the address names behind its #, so that it can be linked to. Where the page is served
 * over the unix socket a button starts a diagnosis; over TCP the last one is shown.
 */
const panel = {id: null, version: -1, tick: -1, measuring: false, failure: ""};

function chosenId() {
	const text = location.hash.slice(1);
	try { return decodeURIComponent(text); } catch (error) { return text; } // no id has a stray %
}
function choose() {
	const id = chosenId() || null;
	if (id === panel.id) return;
	panel.id = id;
	panel.version = panel.tick = -1;
	panel.failure = "";
	const entry = sandboxes.get(id);
	if (entry) { entry.diagnosisAt = 0; wantDiagnosis(entry); reload(id); }
	refresh();
}
/*
 * Its addresses, labels and policy may have changed without an event that tells all of it. An answer may be older than an event that the
 * stream has brought meanwhile, such as the sandbox's end; then it is not believed.
 */
const asked = new Map(); // id -> the question that is under way
function overtake(id, what) {
	const question = asked.get(id);
	if (question) question.late = what;
	return question;
}
function reload(id) {
	const earlier = overtake(id, "changed");
	if (earlier) return earlier.done;
	const question = {late: null};
	asked.set(id, question);
	question.done = get(pathOf(id)).then((object) => { if (!question.late) put(object); }, (error) => { if (error.status === 404) drop(id); })
		.then(() => { asked.delete(id); return question.late === "changed" ? reload(id) : undefined; });
	return question.done;
}
function section(parent, title) {
	const made = make("section", "", make("h3", "", title));
	parent.append(made);
	return made;
}
function drawHops(parent, entry) {
	const found = entry.diagnosis, old = found && isOld(entry);
	const part = section(parent, "Diagnosis" + (found ? ", measured " + clock(found.measured_at) + " (" + ago(found.measured_at) + " ago)" + (old ? ", old" : "") : ""));
	if (MEASURES) {
		const button = make("button", "measure", panel.measuring ? "measuring \u2026" : "Measure now");
		button.disabled = panel.measuring;
		button.addEventListener("click", () => measure(entry));
		part.append(button);
	} else part.append(make("p", "small", (found ? "a new one, on the host: " : "none made yet; on the host: ") + "weftctl diagnose " + entry.id));
	if (panel.failure) part.append(make("p", "bad", panel.failure));
	if (!found) return;
	const box = make("div", "found");
	part.className = old ? "old" : "";
	for (const hop of found.hops) {
		const mark = {ok: "ok    ", fail: "FAIL  ", skipped: "-     "}[hop.status] || hop.status.padEnd(6);
		box.append(make("p", "mono" + (hop.status === "fail" && !waits(hop, entry.object) ? " fail" : hop.status === "skipped" ? " faint" : ""), mark + hop.hop + "  " + hop.subject + "  " + hop.detail));
	}
	if (found.cause) box.append(make("p", "", "Cause: " + found.cause));
	if (found.next_step) box.append(make("p", "", found.next_step));
	part.append(box);
}
async function measure(entry) {
	panel.measuring = true;
	panel.failure = "";
	touch(entry);
	try { takeDiagnosis(entry, await get(pathOf(entry.id) + "/diagnosis", 60000)); }
	catch (error) { panel.failure = "not measured (" + error.message + ")"; }
	panel.measuring = false;
	touch(entry);
}
function drawAddresses(parent, o) {
	const where = section(parent, "Addresses");
	where.append(make("p", "mono", "slot " + o.slot + ", " + o.netns + ", " + o.host_ip + " by " + o.veth));
	for (const e of o.endpoints)
		where.append(make("p", "mono" + (e.open === false ? " bad" : ""), e.listen.join(", ") + " \u2192 " + o.guest.ip + ":" + e.guest_port + "/" + e.proto + (e.open === false ? " (not open)" : "")));
	if (!o.endpoints.length) where.append(make("p", "faint", "no published port"));
	if (o.ready_port) where.append(make("p", "faint", "ready when port " + o.ready_port + " answers"));
}
/* Where a browser on the host, or anywhere under the door's domain, finds PORT of the sandbox; null: weftd has no door. */
function doorUrl(o, port) {
	if (!host.status || !host.status.door || !o.door) return null;
	const options = host.status.uses && host.status.uses.options.door || {}, domain = options.domain, label = o.door.host_label;
	if (!domain || !label) return "http://localhost:3002/sandbox/" + encodeURIComponent(o.id) + "/" + port + "/";
	const local = domain === "localhost" || domain.endsWith(".localhost");
	return (local ? "http://" : "https://") + port + "-" + label + "." + domain + (local ? ":3002/" : "/");
}
/* The ports that are known to serve something over TCP. */
function doorPorts(o) {
	const ports = o.endpoints.filter((e) => e.proto === "tcp").map((e) => e.guest_port);
	return [...new Set([...o.ready_port ? [o.ready_port] : [], ...ports, ...Object.keys(o.door.ports).map(Number)])];
}
function drawDoor(parent, o) {
	if (!doorUrl(o, 1)) return;
	const part = section(parent, "Front door"), ports = doorPorts(o), free = 49983; // envd's, which asks for no token here
	for (const port of ports) {
		const way = o.door.ports[port] || (o.door.public || port === free ? "public" : "token"), url = doorUrl(o, port);
		const link = make(way === "closed" ? "span" : "a", "mono", url);
		if (way !== "closed") { link.href = url; link.target = "_blank"; link.rel = "noopener noreferrer"; }
		part.append(make("p", way === "closed" ? "faint" : "", link, way === "public" ? "" : way === "token" ? " (with the token)" : " (closed)"));
	}
	if (!ports.length) part.append(make("p", "mono faint", doorUrl(o, "PORT")));
}
/* What would wake it, who has, and since when it is idle. */
function drawSleep(parent, o) {
	const part = section(parent, "Sleep");
	part.append(make("p", "", "no traffic for " + ago(o.last_activity || o.registered_at)));
	part.append(make("p", o.wake ? "" : "faint", o.wake ? "woken by " + wakers(o) : "nothing wakes it while it is paused"));
	if (isAsked(o)) part.append(make("p", "warn", "its manager was asked at " + clock(o.wake.asked_at) + " (" + ago(o.wake.asked_at) + " ago) to resume it, because of " + o.wake.by));
}
function drawPanel() {
	const entry = sandboxes.get(panel.id), box = $("panel");
	box.hidden = !panel.id;
	if (!panel.id) return;
	const tick = host.rates ? host.rates.tick : -1;
	if (entry && panel.version === entry.version && panel.tick === tick) return;
	panel.version = entry ? entry.version : -1;
	panel.tick = tick;
	const o = entry && entry.object, close = make("button", "close", "\u00d7");
	close.setAttribute("aria-label", "Close");
	close.addEventListener("click", () => { history.pushState(null, "", location.pathname); choose(); });
	box.replaceChildren(make("h2", "", panel.id), close);
	if (!entry) { box.append(make("p", "faint", "No such sandbox" + (host.status ? "." : " is known yet."))); return; }
	if (o.name) box.append(make("p", "", o.name));
	box.append(make("p", o.state, make("span", "dot"), stateWord(o) + " for " + ago(o.since) + (o.default ? ", default" : "")));
	if (o.reason) box.append(make("p", "bad reason", o.reason));
	if (entry.trouble) box.append(make("p", "bad", eventText(entry.trouble)));
	if (labelsOf(o).length) box.append(make("p", "small labels", labelsOf(o).join("  ")));
	drawHops(box, entry);
	drawAddresses(box, o);
	drawDoor(box, o);
	drawSleep(box, o);
	const traffic = section(box, "Traffic"), graph = newGraph();
	drawGraph(graph, entry.to, entry.from);
	traffic.append(graph, make("p", "mono", make("span", "to-text", "to guest " + bytes(latest(entry.to)) + "/s, mean " + bytes(mean(entry.to)) + "/s")),
		make("p", "mono", make("span", "from-text", "from guest " + bytes(latest(entry.from)) + "/s, mean " + bytes(mean(entry.from)) + "/s")),
		make("p", "mono faint", "in all " + bytes(o.counters.bytes_to_guest) + " to, " + bytes(o.counters.bytes_from_guest) + " from; " + o.counters.drops_total + " packets denied or dropped"));
	const events = section(box, "Last events");
	for (const event of entry.events.slice().reverse()) events.append(make("p", "mono", clock(event.time) + "  " + eventText(event)));
	if (!entry.events.length) events.append(make("p", "faint", "none that weftd still knows"));
}
