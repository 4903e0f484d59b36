// Cash and scores over time, drawn by uPlot.
const COLOURS = ["#1f77b4", "#d6612b", "#2a9d55", "#8d5bb8"];
const charts = {};

/** Times as the reader's country writes them: hours of the day, and the day where a new one begins. */
function times(locale) {
  const hour = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });
  const day = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });
  return (chart, splits, axis, space, step) => splits.map((at, number) => {
    const moment = new Date(at * 1000);
    if (step >= 86_400) return day.format(moment);
    const begins = number === 0 || (moment.getHours() === 0 && moment.getMinutes() === 0);
    return begins ? `${hour.format(moment)}\n${day.format(moment)}` : hour.format(moment);
  });
}

function show(where, title, curves, names, range, words, locale) {
  charts[where.id]?.destroy();
  where.replaceChildren();
  if (!names.length) return;
  const ink = getComputedStyle(where).color;
  const time = { label: words.time, value: (chart, at) => (at === null ? "–" : new Date(at * 1000).toLocaleString(locale)) };
  const number = new Intl.NumberFormat(locale);
  const value = (chart, said) => (said === null ? "–" : number.format(said));
  const options = {
    title, width: Math.max(240, where.clientWidth), height: 200,
    scales: { y: { range } },
    series: [time, ...names.map((name, at) => ({ label: words[name] ?? name, value, stroke: COLOURS[at % COLOURS.length], width: 2, spanGaps: false }))],
    axes: [{ stroke: ink, values: times(locale) }, { stroke: ink, size: 80, values: (chart, splits) => splits.map((each) => number.format(each)) }],
  };
  charts[where.id] = new uPlot(options, [curves.at, ...names.map((name) => curves.curves[name])], where);
}

/** Fetch and draw both charts, cash in units of so many minor ones; false when there is nothing to draw. */
export async function drawCurves(machine, span, cashAt, scoresAt, words, unit, locale) {
  const answer = await fetch(`/api/curves?machine=${encodeURIComponent(machine)}&span=${encodeURIComponent(span)}`);
  if (!answer.ok) return false;
  const curves = await answer.json();
  const names = Object.keys(curves.curves);
  if (curves.curves.cash) curves.curves.cash = curves.curves.cash.map((minor) => (minor === null ? null : minor / unit));
  show(cashAt, words.cash, curves, names.filter((name) => name === "cash"), (chart, low, high) => [0, Math.max(1, high * 1.05)], words, locale);
  show(scoresAt, words.scores, curves, names.filter((name) => name !== "cash"), () => [0, 1], words, locale);
  return names.length > 0;
}
