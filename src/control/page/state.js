/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the page knows, and small helpers. One entry a sandbox; what is drawn from it is drawn by the other files. An entry that
 * changed has a new `version`, and refresh() draws on the next frame whatever of it is in sight.
 */
const STATES = ["ready", "attached", "waiting", "detached", "paused", "creating", "draining", "failed"];
const POINTS = 60, EVENTS_SHOWN = 12;
const MEASURES = document.documentElement.dataset.way.trim() === "socket";
const OLD_MS = 5 * 60000; // a diagnosis of that age says little
const sandboxes = new Map(); // id -> entry
const host = {status: null, rates: null, denied: [], events: [], findings: null, hasRates: true};
let lostSince = null;

const $ = (id) => document.getElementById(id);
function make(tag, className, ...content) {
	const element = document.createElement(tag);
	if (className) element.className = className;
	element.append(...content);
	return element;
}
async function ask(path, limitMs = 15000) {
	const reply = await fetch(path, {cache: "no-store", signal: AbortSignal.timeout(limitMs)});
	if (!reply.ok) {
		const error = new Error(path + ": " + reply.status);
		error.status = reply.status;
		throw error;
	}
	return reply;
}
const get = async (path, limitMs) => (await ask(path, limitMs)).json();
const pathOf = (id) => "/v1/sandboxes/" + encodeURIComponent(id);

function bytes(n) {
	let unit = 0;
	for (; n >= 1000 && unit < 4; unit++) n /= 1000;
	return (n >= 100 || unit === 0 ? Math.round(n) : n.toFixed(1)) + " " + ["B", "kB", "MB", "GB", "TB"][unit];
}
function ago(time) {
	const s = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000));
	return s < 60 ? s + " s" : s < 3600 ? Math.floor(s / 60) + " min" : s < 86400 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86400) + " d";
}
const clock = (time) => new Date(time).toTimeString().slice(0, 8);
/* A paused sandbox that something would wake, and one whose manager was asked to resume it. */
const isAsleep = (o) => o.state === "paused" && Boolean(o.wake);
const isAsked = (o) => isAsleep(o) && Boolean(o.wake.asked_at);
const stateWord = (o) => isAsked(o) ? "waking" : isAsleep(o) ? "asleep" : o.state;
function wakers(o) {
	const published = () => [...new Set(o.endpoints.map((e) => e.guest_port + (e.proto === "udp" ? "/udp" : "")))].join(", ") || "none";
	return Array.isArray(o.wake.ports) ? o.wake.ports.join(", ") : o.wake.ports === "any" ? "any port" : "published ports: " + published();
}
const labelsOf = (o) => Object.entries(o.labels).map((pair) => pair.join("="));

function put(object) {
	let entry = sandboxes.get(object.id);
	if (!entry) {
		entry = {id: object.id, version: 0, events: [], diagnosis: null, diagnosisAt: 0, trouble: null,
			to: new Float64Array(POINTS), from: new Float64Array(POINTS), open: 0, held: 0};
		sandboxes.set(object.id, entry);
	}
	entry.object = object;
	entry.open = object.counters.connections_open;
	entry.held = object.counters.connections_held;
	touch(entry);
	return entry;
}
function drop(id) {
	sandboxes.delete(id);
	refresh();
}
function touch(entry) {
	entry.version++;
	entry.rank = rank(entry);
	refresh();
}

/* A diagnosis that was made before the sandbox's last change of state, or long ago, is shown as old. */
function isOld(entry) {
	const at = Date.parse(entry.diagnosis.measured_at);
	// It is in whole seconds, and an event's time has milliseconds.
	const since = Math.floor(Date.parse(entry.object.since) / 1000) * 1000;
	return at < since || Date.now() - at > OLD_MS;
}
/* The order of "problems first": 0 is broken, 1 wants a look, 2 is as it should be. */
function rank(entry) {
	const o = entry.object;
	if (o.state === "failed" || o.endpoints.some((e) => e.open === false && o.state !== "draining") || entry.trouble) return 0;
	if (o.state === "detached") return 1;
	if (entry.diagnosis && entry.diagnosis.broken && o.state !== "waiting" && !isOld(entry)) return 1;
	return 2;
}

/* Ends of the rates' ring: `tick` is the newest point. Sums and means are over the chosen time. */
const shownPoints = () => Number($("window").value);
function series(ring) {
	const count = shownPoints(), tick = host.rates ? host.rates.tick : 0;
	return Array.from({length: count}, (_, i) => ring[(tick - count + 1 + i + POINTS * 2) % POINTS]);
}
const mean = (ring) => series(ring).reduce((a, b) => a + b, 0) / shownPoints();
const latest = (ring) => host.rates ? ring[host.rates.tick % POINTS] : 0;

function polyline(className, values, top) {
	const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
	line.setAttribute("class", className);
	line.setAttribute("points", values.map((v, i) => (i * 120 / (values.length - 1)).toFixed(1) + "," + (26.5 - 25 * v / top).toFixed(1)).join(" "));
	return line;
}
function drawGraph(svg, to, from) {
	const a = series(to), b = series(from), top = Math.max(1000, ...a, ...b);
	svg.replaceChildren(polyline("to", a, top), polyline("from", b, top));
}
function newGraph() {
	const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
	svg.setAttribute("class", "graph");
	svg.setAttribute("viewBox", "0 0 120 28");
	svg.setAttribute("preserveAspectRatio", "none");
	svg.setAttribute("aria-hidden", "true");
	return svg;
}

function eventText(event) {
	if (event.type === "state") return event.from + " \u2192 " + event.to + (event.cause ? " (" + event.cause + ")" : "");
	if (event.type === "denied") return "denied " + [event.proto, event.destination, event.port || undefined, event.rule].filter((x) => x !== undefined).join(" ");
	if (event.type === "host") return event.check + ": " + event.status + (event.detail ? ", " + event.detail : "");
	if (event.type === "wake") return "wanted" + (event.dest_port ? " at " + event.dest_port + "/" + event.proto : "") + (event.source ? " by " + event.source : "") + " (" + event.via + ")" + (event.attempt > 1 ? ", asked " + event.attempt + " times" : "");
	if (event.type === "idle") return "idle for " + Math.round(event.idle_ms / 1000) + " s";
	if (event.type === "renamed") return "renamed " + (event.former || "-") + " \u2192 " + (event.name || "-");
	if (event.type === "door") return "door: " + (event.public ? "public" : event.token ? "with a token" : "closed");
	if (event.type === "handover") return "handover: " + event.connections + " taken over, " + event.lost + " lost, stood still for " + event.gap_ms + " ms";
	const outcome = event.ok === false ? "not possible yet: " : "";
	const more = typeof event.what === "string" ? outcome + event.what + (event.error ? ", " + event.error : "") : "";
	return event.type + (more ? ": " + more : "");
}

/* One drawing a frame, however much has changed. A page that is not in sight gets no frames. */
let due = false;
function refresh() {
	if (due) return;
	due = true;
	requestAnimationFrame(() => { due = false; drawAll(); });
}
