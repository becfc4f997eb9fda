/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list. All rows have one height, so those in sight follow from the place of the page, and only they exist. A row that comes
 * into sight asks for the last diagnosis of its sandbox, a few rows at a time, and while it stays there for the sandbox itself, because
 * no event tells of counters, labels and ports that another program took.
 */
const COLUMNS = [["Sandbox", "id"], ["State", "state"], ["Path as measured", null], ["Traffic", "traffic"], ["Connections", "connections"], ["Last event", "event"]];
const lastEvent = (entry) => entry.events.length ? entry.events[entry.events.length - 1] : null;
const ORDERS = {
	problems: ["problems first", (a, b) => a.rank - b.rank],
	slot: ["slot", () => 0],
	id: ["id", (a, b) => a.id < b.id ? -1 : 1],
	state: ["state", (a, b) => STATES.indexOf(b.object.state) - STATES.indexOf(a.object.state)],
	traffic: ["traffic", (a, b) => mean(b.to) + mean(b.from) - mean(a.to) - mean(a.from)],
	connections: ["connections", (a, b) => b.open - a.open],
	event: ["last event", (a, b) => (lastEvent(b) || {seq: 0}).seq - (lastEvent(a) || {seq: 0}).seq],
};
const OVERSCAN = 6, ASKED_AT_ONCE = 3, ASK_AGAIN_MS = 15000;
const list = {order: "problems", down: true, state: null, view: [], rows: new Map(), asking: 0, queue: []};

function matches(entry) {
	const wanted = $("search").value.trim().toLowerCase(), o = entry.object;
	if (list.state && o.state !== list.state) return false;
	if (!wanted) return true;
	return [o.id, o.name || "", stateWord(o), o.host_ip, o.netns, ...labelsOf(o), ...o.endpoints.flatMap((e) => e.listen)].some((text) => text.toLowerCase().includes(wanted));
}
function arrange() {
	const compare = ORDERS[list.order][1], sign = list.down ? 1 : -1;
	list.view = [...sandboxes.values()].filter(matches).sort((a, b) => sign * compare(a, b) || a.object.slot - b.object.slot);
}

function newRow(entry) {
	const row = {element: make("div", "row grid"), version: -1, tick: -1};
	row.element.setAttribute("role", "row");
	row.element.dataset.id = entry.id;
	const cell = (...content) => { const made = make("div", "", ...content); made.setAttribute("role", "cell"); row.element.append(made); return made; };
	row.id = make("a", "id"); row.id.href = "#" + entry.id;
	row.name = make("span", "small"); row.labels = make("div", "small line");
	cell(make("div", "line", row.id, " ", row.name), row.labels);
	row.dot = make("span", "dot"); row.word = make("span"); row.since = make("div", "small line");
	row.state = cell(make("div", "line", row.dot, row.word), row.since);
	row.path = cell();
	row.graph = newGraph(); row.to = make("span", "to-text"); row.from = make("span", "from-text");
	cell(row.graph, make("div", "small line", row.to, " ", row.from));
	row.connections = cell(); row.connections.classList.add("number");
	row.event = cell(); row.event.classList.add("small", "line");
	row.element.addEventListener("click", () => { location.hash = entry.id; });
	$("rows").append(row.element);
	list.rows.set(entry.id, row);
	return row;
}
/* A VM that has not come yet is no fault. */
const waits = (hop, o) => hop.status === "fail" && o.state === "waiting" && hop.hop === "tap";
/* The hops that were tested, no others, and when. */
function drawPath(cell, entry) {
	const found = entry.diagnosis, o = entry.object;
	if (!found || !found.measured_at) {
		cell.className = "";
		cell.replaceChildren(make("span", "small", o.state === "failed" ? o.reason || "" : "not diagnosed"));
		return;
	}
	const path = make("div", "path");
	for (const hop of found.hops) {
		if (hop.status === "skipped") continue;
		const drawn = make("span", "hop " + (waits(hop, o) ? "wait" : hop.status), make("i"), make("span", "", hop.hop));
		drawn.title = hop.hop + ": " + hop.status + (hop.detail ? ", " + hop.detail : "");
		path.append(drawn);
	}
	cell.className = isOld(entry) ? "old" : "";
	cell.replaceChildren(path, make("div", "small line", "measured " + clock(found.measured_at) + (isOld(entry) ? ", old" : "")));
}
function drawRow(row, entry) {
	const o = entry.object, last = lastEvent(entry);
	row.version = entry.version;
	row.element.className = "row grid" + [" problem", " concern", ""][entry.rank];
	row.id.textContent = o.id;
	row.id.title = o.id;
	row.name.textContent = o.name || "";
	row.labels.textContent = row.labels.title = labelsOf(o).join(" ");
	row.state.className = o.state;
	row.word.textContent = stateWord(o) + (o.default ? " (default)" : "");
	row.since.title = o.reason || "";
	drawPath(row.path, entry);
	row.connections.textContent = entry.open + (entry.held ? " (" + entry.held + " held)" : "");
	row.event.textContent = row.event.title = last ? eventText(last) : "";
}
function drawRowTraffic(row, entry) {
	row.tick = host.rates ? host.rates.tick : -1;
	drawGraph(row.graph, entry.to, entry.from);
	row.to.textContent = "\u2193 " + bytes(latest(entry.to)) + "/s";
	row.from.textContent = "\u2191 " + bytes(latest(entry.from)) + "/s";
}
function drawList() {
	arrange();
	const height = parseInt(getComputedStyle(document.documentElement).getPropertyValue("--row"), 10);
	const area = $("rows"), top = -area.getBoundingClientRect().top;
	const first = Math.max(0, Math.floor(top / height) - OVERSCAN), end = Math.min(list.view.length, Math.ceil((top + innerHeight) / height) + OVERSCAN);
	const seen = new Set(), tick = host.rates ? host.rates.tick : -1;
	area.style.height = list.view.length * height + "px";
	for (let i = first; i < end; i++) {
		const entry = list.view[i], row = list.rows.get(entry.id) || newRow(entry);
		seen.add(entry.id);
		if (row.version !== entry.version) drawRow(row, entry);
		if (row.tick !== tick || row.window !== shownPoints()) { drawRowTraffic(row, entry); row.window = shownPoints(); }
		row.since.textContent = ago(entry.object.since) + (entry.object.reason ? ": " + entry.object.reason : "");
		row.element.style.transform = "translateY(" + i * height + "px)";
		row.element.classList.toggle("chosen", entry.id === panel.id);
		wantDiagnosis(entry);
	}
	for (const [id, row] of list.rows) if (!seen.has(id)) { row.element.remove(); list.rows.delete(id); }
	$("table").hidden = false;
	$("head").hidden = sandboxes.size === 0;
	$("empty").hidden = list.view.length > 0;
	$("empty").textContent = sandboxes.size ? "No sandbox fits the search." : "No sandbox is registered. \u201cweftctl register ID\u201d makes one.";
	$("shown").textContent = sandboxes.size ? list.view.length + " of " + sandboxes.size : "";
}

function wantDiagnosis(entry) {
	if (lostSince || entry.wanted || performance.now() - entry.diagnosisAt < ASK_AGAIN_MS && entry.diagnosisAt) return;
	entry.wanted = true;
	list.queue.push(entry);
	askDiagnoses();
}
async function askDiagnoses() {
	while (list.asking < ASKED_AT_ONCE && list.queue.length) {
		const entry = list.queue.pop();
		list.asking++;
		const again = entry.diagnosisAt > 0;
		get(pathOf(entry.id) + "/diagnosis?last=true").then((found) => takeDiagnosis(entry, found)).then(() => again && reload(entry.id)).catch(() => {}).finally(() => {
			entry.diagnosisAt = performance.now();
			entry.wanted = false;
			list.asking--;
			askDiagnoses();
		});
	}
}
/* A diagnosis is only ever replaced by a later one. */
function takeDiagnosis(entry, found) {
	if (!found.measured_at || entry.diagnosis && Date.parse(found.measured_at) < Date.parse(entry.diagnosis.measured_at)) return;
	entry.diagnosis = found;
	touch(entry);
}

function drawHead() {
	$("head").replaceChildren(...COLUMNS.map(([title, order]) => {
		const cell = make(order ? "button" : "span", "", title);
		cell.setAttribute("role", "columnheader");
		if (!order) return cell;
		if (list.order === order) cell.setAttribute("aria-sort", list.down ? "ascending" : "descending");
		cell.addEventListener("click", () => setOrder(order, list.order === order ? !list.down : true));
		return cell;
	}));
	$("order").value = list.order;
}
function setOrder(order, down) {
	list.order = order;
	list.down = down;
	drawHead();
	refresh();
}
