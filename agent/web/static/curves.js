// Cash and scores over time, drawn by uPlot.
const COLOURS = ["#1f77b4", "#d6612b", "#2a9d55", "#8d5bb8"];
const charts = {};

function show(where, title, curves, names, range) {
  charts[where.id]?.destroy();
  where.replaceChildren();
  if (!names.length) return;
  const ink = getComputedStyle(where).color;
  const options = {
    title, width: Math.max(240, where.clientWidth), height: 200,
    scales: { y: { range } },
    series: [{}, ...names.map((name, at) => ({ label: name, stroke: COLOURS[at % COLOURS.length], width: 2, spanGaps: false }))],
    axes: [{ stroke: ink }, { stroke: ink, size: 80 }],
  };
  charts[where.id] = new uPlot(options, [curves.at, ...names.map((name) => curves.curves[name])], where);
}

/** Fetch and draw both charts, cash in units of so many minor ones; false when there is nothing to draw. */
export async function drawCurves(machine, span, cashAt, scoresAt, words, unit) {
  const answer = await fetch(`/api/curves?machine=${encodeURIComponent(machine)}&span=${encodeURIComponent(span)}`);
  if (!answer.ok) return false;
  const curves = await answer.json();
  const names = Object.keys(curves.curves);
  if (curves.curves.cash) curves.curves.cash = curves.curves.cash.map((minor) => (minor === null ? null : minor / unit));
  show(cashAt, words.cash, curves, names.filter((name) => name === "cash"), (chart, low, high) => [0, Math.max(1, high * 1.05)]);
  show(scoresAt, words.scores, curves, names.filter((name) => name !== "cash"), () => [0, 1]);
  return names.length > 0;
}
