// The machine as a drawing. Its state is said in words too: in the table of points, which is what a screen reader reads.
const SVG = "http://www.w3.org/2000/svg";
const BAD = new Set(["tampered", "hardwareError", "fraudAttempt", "deviceDetected", "jammed", "jammedOpen", "jammedPartiallyOpen",
  "jammedClosed", "jammedUnknown", "stop", "empty", "out", "full", "inoperative", "inoperable", "manipulated", "missing", "noDevice",
  "powerOff", "criticalLevel", "partialCriticalLevel", "neutralizationTriggered", "fault", "failure", "denied", "broken", "failing",
  "readOnly", "unplanned", "lost"]);
const WARN = new Set(["open", "unlocked", "attention", "low", "high", "noPower", "offline", "down", "battery", "potentialFraud",
  "userError", "warningLevel", "partialWarningLevel", "silent", "busy", "refused", "stepped", "unsynced", "planned", "maintenance",
  "supervisor", "active", "veryDark", "slow", "starting"]);
const ON_IS_BAD = /tamper|seismic|heat|smoke/i;

/** good, warn, bad, or unknown for null: asked, and not usable. */
export function judge(point, value) {
  if (value === null || value === undefined || value === "unknown") return "unknown";
  if (typeof value !== "string") return "good";
  if (BAD.has(value)) return "bad";
  if (WARN.has(value)) return "warn";
  if (value === "on" && ON_IS_BAD.test(point)) return "bad";
  return "good";
}

const PARTS = [
  ["cabinet", ["auxiliaries.cabinetDoor", "auxiliaries.cabinetFrontDoor", "auxiliaries.cabinetRearDoor"], [10, 10, 280, 190]],
  ["screen", ["cashManagement.dispenser", "cashDispenser.device"], [22, 54, 136, 72]],
  ["card", ["cardReader.antiFraudModule", "cardReader.device", "cardReader.media"], [168, 54, 112, 40]],
  ["printer", ["printer.paper.upper", "printer.device", "printer.media"], [168, 104, 112, 40]],
  ["shutter", ["cashDispenser.outDefault.shutter"], [22, 148, 136, 40]],
  ["safe", ["auxiliaries.safeDoor"], [10, 212, 280, 218]],
];
const CASSETTES = [256, 168]; // where they begin, and what height they share
const SENSORS = ["auxiliaries.tamperSensor", "auxiliaries.seismicSensor", "auxiliaries.heatSensor", "banknoteNeutralization.seismic",
  "banknoteNeutralization.gas", "powerManagement.powerInStatus", "auxiliaries.operatorSwitch", "machine.visit",
  "environment.temperature_c", "motion.tilt_deg"];

const rank = { unknown: 0, good: 1, warn: 2, bad: 3 };

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Draw a machine anew into `where`. */
export function draw(where, machine, words) {
  const points = machine.points;
  const svg = element("svg", { viewBox: "0 0 300 440", role: "presentation" });
  for (const [name, candidates, [x, y, width, height]] of PARTS) {
    const found = candidates.filter((point) => point in points);
    const worst = found.reduce((a, b) => (a && rank[judge(a, points[a])] >= rank[judge(b, points[b])] ? a : b), undefined);
    const state = worst ? judge(worst, points[worst]) : "unknown";
    svg.append(element("rect", { x, y, width, height, rx: 5, class: `part ${state}`, "data-part": name }));
    svg.append(element("text", { x: x + 8, y: y + 16, class: "name" }, words[name]));
    svg.append(element("text", { x: x + 8, y: y + 32, class: state }, worst ? (points[worst] ?? words.unusable) : "–"));
  }
  drawCassettes(svg, machine);
  where.replaceChildren(svg, sensors(points, words));
}

function drawCassettes(svg, machine) {
  const [top, room] = CASSETTES;
  const units = Object.entries(machine.cassettes ?? {}).slice(0, 6);
  const height = units.length ? Math.min(42, room / units.length) : 0;
  units.forEach(([unit, cassette], row) => {
    const y = top + row * height;
    const state = judge(`storage.${unit}.replenishmentStatus`, cassette.status);
    const full = cassette.count / cassette.of;
    const share = Number.isFinite(full) ? Math.max(0, Math.min(1, full)) : 0;
    svg.append(element("rect", { x: 22, y, width: 256 * share, height: height - 8, class: "level" }));
    svg.append(element("rect", { x: 22, y, width: 256, height: height - 8, rx: 3, class: `part ${state}`, "fill-opacity": 0 }));
    const said = `${unit}: ${cassette.count ?? "–"} ${cassette.status ?? ""}`;
    svg.append(element("text", { x: 30, y: y + height / 2 + 1 }, said));
  });
}

function sensors(points, words) {
  const list = document.createElement("ul");
  for (const point of SENSORS.filter((each) => each in points)) {
    const value = points[point];
    const said = typeof value === "number" ? Math.round(value * 10) / 10 : (value ?? words.unusable);
    const item = document.createElement("li");
    const word = document.createElement("span");
    item.className = judge(point, value);
    item.textContent = point.split(".").pop();
    word.textContent = String(said);
    item.append(word);
    list.append(item);
  }
  return list;
}
