// The page: state comes as server-sent events; text of devices only ever becomes text.
import { drawCurves } from "/curves.js";
import { draw, judge } from "/machine.js";
import { WORDS } from "/words.js";

const at = (id) => document.getElementById(id);
const CURVES_EVERY = 60_000; // ms
let language = WORDS[localStorage.getItem("language")] ? localStorage.getItem("language") : (navigator.language ?? "en").slice(0, 2);
if (!WORDS[language]) language = "en";
let state = null;
let chosen = null;
let events = null;
let shownAlarms = "";

const words = () => WORDS[language];
/** The reader's own country, where it speaks the language of the page. */
const locale = () => (navigator.languages ?? []).find((each) => each.startsWith(language)) ?? language;

function node(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function say(text) { at("notice").textContent = text ?? ""; }

function translate() {
  document.documentElement.lang = language;
  at("language").value = language;
  for (const each of document.querySelectorAll("[data-word]")) each.textContent = words()[each.dataset.word];
  shownAlarms = "";
  if (state) render();
}

const when = (seconds) => new Date(seconds * 1000).toLocaleString(locale());

function renderLegs() {
  const legs = Object.entries(state.uplinks).map(([name, word]) => [`${words().link} ${name}: ${word ?? "–"}`, judge("", word)]);
  for (const [name, word] of Object.entries(state.sources)) legs.push([`${name}: ${word ?? "–"}`, judge("", word)]);
  const waiting = Object.values(state.backlog).reduce((sum, count) => sum + count, 0);
  legs.push([`${words().backlog}: ${waiting}`, waiting > 1000 ? "warn" : "good"], [`${words().store}: ${state.store}`, judge("", state.store)]);
  at("legs").replaceChildren(...legs.map(([text, className]) => node("span", text, className)));
}

function renderMachines() {
  const ids = state.machines.map((machine) => machine.id);
  if (!ids.includes(chosen)) chosen = ids[0];
  const nav = at("machines");
  nav.hidden = ids.length < 2;
  nav.replaceChildren(...ids.map((id) => {
    const button = node("button", id);
    button.setAttribute("aria-pressed", String(id === chosen));
    button.addEventListener("click", () => { chosen = id; shownAlarms = ""; render(); curves(); });
    return button;
  }));
}

function renderCash(machine) {
  const cash = machine.cash;
  const days = machine.points["machine.daysToEmpty"];
  const lasts = typeof days === "number" ? ` · ${words().lasts}: ${new Intl.NumberFormat(locale()).format(days)} ${words().days}` : "";
  at("cash").textContent = cash ? `${money(cash.value, cash.currency)} ${words().inIt}${lasts}` : "–";
  const rows = Object.entries(machine.cassettes ?? {}).map(([unit, cassette]) => {
    const row = node("tr");
    row.append(node("td", unit), node("td", money(cassette.value, cassette.currency), "number"),
      node("td", cassette.count ?? "–", "number"), node("td", cassette.status ?? words().unusable, judge("", cassette.status)));
    return row;
  });
  at("cassettes").tBodies[0].replaceChildren(...rows);
}

function money(minor, currency) {
  try {
    const format = new Intl.NumberFormat(locale(), { style: "currency", currency });
    return format.format(minor / 10 ** format.resolvedOptions().maximumFractionDigits);
  } catch { return `${minor} ${currency}`; } // no currency that this browser knows
}

/** How many minor units of a machine's currency make one of it. */
function minorUnits(id) {
  const currency = state.machines.find((machine) => machine.id === id)?.cash?.currency;
  try {
    return 10 ** new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits;
  } catch { return 1; }
}

function renderPoints(machine) {
  const rows = Object.keys(machine.points).sort().map((point) => {
    const value = machine.points[point];
    const said = typeof value === "number" ? String(Math.round(value * 1000) / 1000) : (value ?? words().unusable);
    const row = node("tr");
    row.append(node("td", point), node("td", said, judge(point, value)));
    return row;
  });
  at("points").tBodies[0].replaceChildren(...rows);
}

function alarmItem(alarm) {
  const item = node("li", undefined, `s${alarm.severity}${alarm.cleared ? " over" : " new"}`);
  const notes = [when(alarm.at), alarm.rule, alarm.class];
  if (alarm.attack) notes.push(`${words().attack} ${alarm.attack}`);
  if (alarm.cleared) notes.push(words().cleared);
  if (alarm.planned) notes.push(words().planned);
  if (alarm.repeats) notes.push(`${alarm.repeats} ${words().repeats}`);
  item.append(node("p", alarm.text || alarm.rule), node("p", notes.join(" · "), "when"));
  if (alarm.evidence?.length) {
    const more = node("details");
    more.append(node("summary", words().evidence));
    for (const [point, value, moment] of alarm.evidence) more.append(node("p", `${point} = ${value ?? words().unusable} (${when(moment)})`));
    item.append(more);
  }
  return item;
}

function renderAlarms(machine) {
  const alarms = state.alarms.filter((alarm) => alarm.machine === machine.id || alarm.machine === state.gateway);
  const key = JSON.stringify(alarms);
  if (key === shownAlarms) return; // a list that is not touched stays open where somebody reads it
  shownAlarms = key;
  at("alarms").replaceChildren(...(alarms.length ? alarms.map(alarmItem) : [node("li", words().none)]));
}

function renderService(machine) {
  at("visit").textContent = `${words().visit}: ${machine.points["machine.visit"] ?? "–"}${state.mayAnnounce ? "" : ` · ${words().readOnly}`}`;
  at("announce").hidden = !state.mayAnnounce;
  at("sign-out").hidden = !state.mayAnnounce;
}

function render() {
  at("gateway").textContent = state.gateway;
  renderLegs();
  renderMachines();
  const machine = state.machines.find((each) => each.id === chosen);
  at("machine").hidden = !machine;
  if (!machine) return;
  document.title = `${chosen} · ${state.gateway}`;
  draw(at("drawing"), machine, words());
  renderAlarms(machine);
  renderCash(machine);
  renderService(machine);
  renderPoints(machine);
}

async function curves() {
  if (chosen === null) return;
  const some = await drawCurves(chosen, at("span").value, at("cash-curve"), at("score-curve"), words(), minorUnits(chosen), locale()).catch(() => false);
  at("no-curve").hidden = some;
}

async function post(path, body) {
  const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  if (answer.ok) { say(""); return true; }
  say((await answer.json().catch(() => ({}))).error ?? answer.statusText);
  return false;
}

function watch() {
  events?.close();
  events = new EventSource("/api/events");
  let first = true;
  events.onmessage = (event) => {
    state = JSON.parse(event.data);
    say("");
    at("sign-in").hidden = true;
    render();
    if (first) { first = false; curves(); }
  };
  events.addEventListener("signedOut", () => askSecret());
  events.onerror = () => {
    say(words().lost);
    if (events.readyState === EventSource.CLOSED) setTimeout(begin, 5_000);
  };
}

/** Watch, or ask for the secret first. */
async function begin() {
  const session = await fetch("/api/session").then((answer) => answer.json()).catch(() => null);
  if (session === null) { say(words().lost); setTimeout(begin, 5_000); }
  else if (session.signIn) askSecret();
  else watch();
}

function askSecret() {
  events?.close();
  at("machine").hidden = true;
  at("machines").hidden = true;
  at("sign-out").hidden = true;
  at("sign-in").hidden = false;
  at("secret").focus();
}

at("language").addEventListener("change", (event) => { language = event.target.value; localStorage.setItem("language", language); translate(); curves(); });
at("span").addEventListener("change", curves);
at("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const secret = at("secret").value;
  at("secret").value = "";
  if (await post("/api/sign-in", { secret })) watch();
});
at("sign-out").addEventListener("click", async () => { if (await post("/api/sign-out", {})) askSecret(); });
at("announce").addEventListener("submit", (event) => { event.preventDefault(); post("/api/service", { machine: chosen, minutes: Number(at("minutes").value) }); });
at("end").addEventListener("click", () => post("/api/service", { machine: chosen, minutes: 0 }));
addEventListener("resize", () => { clearTimeout(curves.timer); curves.timer = setTimeout(curves, 300); });
setInterval(curves, CURVES_EVERY);
translate();
begin();
