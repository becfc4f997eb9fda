/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page lives on one stream of events: a snapshot, then what changes. Beside it small answers are asked for again and again: the
 * status, and the traffic since the last answer. Without a stream the list is asked for instead. Whatever is answered shows
 * that weftd is there; when nothing is, the page says since when.
 */
const RATES_MS = 2000, STATUS_MS = 5000, LIST_MS = 10000, HOST_MS = 30000, SILENCE_MS = 40000, AGAIN_MS = 2000;
const EVENTS_BEFORE = 3000; // the daemon keeps 4096
let resume = null, remembered = false, streaming = false;

function live(className, text) { $("live").className = "faint " + className; $("live").textContent = text; }
function reached() {
	if (!lostSince) return;
	lostSince = null;
	$("lost").hidden = true;
	$("all").classList.remove("stale");
	refresh();
}
function lost() {
	if (lostSince) return;
	lostSince = new Date();
	$("lost").textContent = "Not reachable since " + clock(lostSince) + ". What is below is from then.";
	$("lost").hidden = false;
	$("all").classList.add("stale");
	refresh();
}
/* An answer, even one that refuses, shows that weftd is there. */
function failed(error) {
	if (error.status) reached();
	else lost();
}
function every(ms, act) {
	const again = () => setTimeout(async () => { if (!document.hidden || lostSince) await act(); again(); }, ms);
	again();
}

async function pollStatus() {
	try { host.status = await get("/v1/status"); reached(); refresh(); } catch (error) { failed(error); }
}
async function pollRates() {
	if (!host.hasRates || lostSince) return;
	try {
		const since = host.rates ? host.rates.tick : 0;
		takeRates(await get("/v1/rates" + (since ? "?since=" + since : "")), since);
	} catch (error) { if (error.status === 404) host.hasRates = false; else failed(error); }
}
/* Sandboxes without traffic and connections are not in the answer, and neither are zeros before the first byte. */
function takeRates(found, since) {
	const fresh = Math.min(POINTS, since && found.tick >= since ? found.tick - since : POINTS);
	for (const entry of sandboxes.values()) {
		for (let i = 0; i < fresh; i++) entry.to[(found.tick - i) % POINTS] = entry.from[(found.tick - i) % POINTS] = 0;
		if (entry.open || entry.held) { entry.open = entry.held = 0; entry.version++; }
	}
	host.rates = {tick: found.tick};
	for (const one of found.sandboxes) {
		const entry = sandboxes.get(one.id);
		if (!entry) continue;
		const fill = (ring, values) => values.forEach((v, i) => { ring[(found.tick - (values.length - 1 - i)) % POINTS] = v; });
		fill(entry.to, one.to_guest);
		fill(entry.from, one.from_guest);
		entry.open = one.connections_open;
		entry.held = one.connections_held;
		entry.version++;
	}
	refresh();
}
async function pollList() {
	if (streaming || lostSince) return;
	try { takeAll((await get("/v1/sandboxes")).sandboxes); } catch (error) { failed(error); }
}
function takeAll(objects) {
	const seen = new Set(objects.map((object) => object.id));
	for (const object of objects) put(object);
	for (const id of [...sandboxes.keys()]) if (!seen.has(id)) drop(id);
}
async function pollHost() {
	if (lostSince) return;
	try {
		const text = await (await ask("/metrics")).text();
		host.denied = [...text.matchAll(/^weft_denied_total\{rule="([^"]*)"\} (\d+)/gm)].map((m) => [m[1], Number(m[2])]).filter((pair) => pair[1]).sort((a, b) => b[1] - a[1]);
	} catch (error) { /* told by the status */ }
	try { host.findings = await get("/v1/doctor?last=true"); } catch (error) { host.findings = null; }
	refresh();
}

function remember(entry, event) {
	entry.events.push(event);
	if (entry.events.length > EVENTS_SHOWN) entry.events.shift();
	if (event.type === "repair") entry.trouble = event.ok === false ? event : null;
	touch(entry);
}
let snapshot = null;
function onEvent(event) {
	if (event.type === "snapshot") { (snapshot = snapshot || new Set()).add(event.sandbox); put(event.object); return; }
	resume = {seq: event.seq, boot: event.boot};
	if (event.type === "snapshot-end") {
		for (const id of [...sandboxes.keys()]) if (!snapshot || !snapshot.has(id)) drop(id);
		snapshot = null;
		document.documentElement.dataset.sandboxes = sandboxes.size;
		if (host.rates) { host.rates = null; pollRates(); }
		refresh();
		recall(event);
		return;
	}
	if (event.type === "heartbeat" || event.type === "overflow") return;
	noteHost(event);
	refresh();
	if (!event.sandbox) return;
	if (event.type === "state") overtake(event.sandbox, "changed");
	if (event.type === "unregistered") { overtake(event.sandbox, "gone"); drop(event.sandbox); return; }
	const entry = sandboxes.get(event.sandbox);
	if (entry && event.type === "state") {
		const wake = entry.object.wake && {...entry.object.wake, asked_at: null, by: null};
		entry.object = {...entry.object, state: event.to, since: event.time, reason: event.reason || null, wake};
		entry.diagnosisAt = 0;
	}
	if (entry) remember(entry, event);
	/* Those that say all of what they are about need no question. */
	if (!entry || !["state", "denied", "repair"].includes(event.type))
		reload(event.sandbox).then(() => { const made = sandboxes.get(event.sandbox); if (made && !entry) remember(made, event); });
}
async function* lines(reply, abort) {
	const reader = reply.body.getReader(), decoder = new TextDecoder();
	let silence = 0;
	const watch = () => { clearTimeout(silence); silence = setTimeout(() => abort.abort(), SILENCE_MS); };
	try {
		for (let rest = "";;) {
			watch();
			const {done, value} = await reader.read();
			if (done) return;
			const whole = (rest + decoder.decode(value, {stream: true})).split("\n");
			rest = whole.pop();
			for (const line of whole) yield JSON.parse(line);
		}
	} finally { clearTimeout(silence); reader.cancel().catch(() => {}); }
}
/* What happened before the page was opened, as far as the daemon has it: up to the end of the first snapshot. */
async function recall(end) {
	if (remembered || !end.seq) return;
	remembered = true;
	const before = new Map(), abort = new AbortController();
	try {
		const reply = await fetch("/v1/events?since=" + Math.max(0, end.seq - EVENTS_BEFORE) + "&boot=" + encodeURIComponent(end.boot), {cache: "no-store", signal: abort.signal});
		if (!reply.ok) return;
		for await (const event of lines(reply, abort)) {
			if (event.seq > end.seq || event.type === "snapshot" || event.type === "snapshot-end" || event.type === "heartbeat") break;
			noteHost(event);
			if (event.type === "unregistered") before.delete(event.sandbox);
			else if (event.sandbox) before.set(event.sandbox, [...(before.get(event.sandbox) || []), event].slice(-EVENTS_SHOWN));
			if (event.seq === end.seq) break;
		}
	} catch (error) { return; }
	for (const [id, events] of before) {
		const entry = sandboxes.get(id);
		if (!entry) continue;
		const trouble = entry.events.concat().reverse().concat(events.concat().reverse()).find((event) => event.type === "repair");
		entry.events = [...events, ...entry.events].slice(-EVENTS_SHOWN);
		entry.trouble = trouble && trouble.ok === false ? trouble : null;
		touch(entry);
	}
}
async function follow() {
	let words = "not connected, trying again";
	const abort = new AbortController();
	try {
		const reply = await fetch("/v1/events" + (resume ? "?since=" + resume.seq + "&boot=" + encodeURIComponent(resume.boot) : ""), {cache: "no-store", signal: abort.signal});
		if (reply.status === 429 || reply.status === 503) words = "too many pages follow already: asking each " + LIST_MS / 1000 + " s";
		reached();
		if (!reply.ok) throw new Error(reply.status);
		streaming = true;
		live("on", "live");
		for await (const event of lines(reply, abort)) onEvent(event);
	} catch (error) { /* told by the words beside the dot */ }
	streaming = false;
	snapshot = null;
	live("off", words);
	await pollStatus();
	if (!lostSince) pollList();
	setTimeout(follow, AGAIN_MS);
}

function drawAll() {
	drawSummary();
	drawList();
	drawPanel();
}
$("order").append(...Object.entries(ORDERS).map(([key, [title]]) => { const option = make("option", "", title); option.value = key; return option; }));
$("order").addEventListener("change", () => setOrder($("order").value, true));
$("search").addEventListener("input", refresh);
$("window").addEventListener("change", () => { panel.version = -1; refresh(); });
$("host-card").addEventListener("toggle", refresh);
addEventListener("scroll", refresh, {passive: true});
addEventListener("resize", refresh);
addEventListener("hashchange", choose);
addEventListener("keydown", (press) => { if (press.key === "Escape" && panel.id) { history.pushState(null, "", location.pathname); choose(); } });
setInterval(refresh, 5000);
drawHead();
choose();
follow();
pollStatus();
pollRates();
pollHost();
every(STATUS_MS, pollStatus);
every(RATES_MS, pollRates);
every(LIST_MS, pollList);
every(HOST_MS, pollHost);
