// Reach over time beside what was foretold. The tables below the plot hold the same figures.
/* global uPlot */
const element = document.getElementById("plot");
const choice = document.getElementById("plot-of");
const { lang } = document.documentElement;
const number = new Intl.NumberFormat(lang === "vi" ? "vi-VN" : "en-GB");
const colour = (name) => getComputedStyle(element).getPropertyValue(name).trim();
let told = null;
let plot = null;
let drawn = null;
let fetching = false;

const spell = (seconds) => {
  if (seconds >= 7200) return `${number.format(Math.round(seconds / 360) / 10)} ${element.dataset.hour}`;
  if (seconds >= 120) return `${number.format(Math.round(seconds / 6) / 10)} ${element.dataset.minute}`;
  return `${number.format(Math.round(seconds * 10) / 10)} ${element.dataset.second}`;
};

const lineOf = (list, channel) => list.find((one) => one.channel === channel) ?? null;
function chosen() {
  const wanted = choice.querySelector("input:checked").value;
  const pick = (list) => lineOf(list, wanted) ?? (wanted === "" && list.length === 1 ? list[0] : null);
  return { fact: pick(told.lines), forecast: pick(told.told) };
}

// Joins both time axes: uPlot wants one. Gaps are null and are bridged, except after the last fact.
function columns({ fact, forecast }) {
  const now = told.moving ? told.now : 0;
  const facts = new Map();
  if (fact) {
    fact.at.forEach((at, place) => {
      facts.set(at, [fact.handed_off[place] / fact.messages, fact.confirmed[place] / fact.messages]);
    });
    const last = fact.at.length - 1;
    const end = Math.max(fact.at[last], now);
    facts.set(end, [fact.handed_off[last] / fact.messages, fact.confirmed[last] / fact.messages]);
  }
  const promised = new Map([[0, 0], ...(forecast?.curve ?? [])]);
  const ends = [...facts.keys(), ...(forecast ? promised.keys() : [])];
  const moments = [...new Set(ends)].sort((a, b) => a - b);
  if (forecast && moments.length && !promised.has(moments.at(-1))) promised.set(moments.at(-1), 1);
  return [
    moments,
    moments.map((at) => facts.get(at)?.[0]),
    moments.map((at) => facts.get(at)?.[1]),
    moments.map((at) => (forecast ? promised.get(at) : undefined)),
  ].map((column) => column.map((value) => (value === undefined || Number.isNaN(value) ? undefined : value)));
}

// Rings where half, 90 and 99 % had left, and were to have left.
function marks(self) {
  if (!drawn) return;
  const { ctx } = self;
  const ratio = devicePixelRatio;
  for (const [line, ink] of [[drawn.forecast, "--ink-2"], [drawn.fact, "--seen"]]) {
    if (!line) continue;
    line.marks.slice(0, 3).forEach((at, place) => {
      if (at === null || at > self.scales.x.max) return;
      const share = told.shares[place];
      const height = line === drawn.fact ? shareAt(line, at) : share;
      const x = self.valToPos(at, "x", true);
      const y = self.valToPos(height, "y", true);
      ctx.beginPath();
      ctx.arc(x, y, 3.5 * ratio, 0, 2 * Math.PI);
      ctx.fillStyle = colour("--surface");
      ctx.fill();
      ctx.lineWidth = 2 * ratio;
      ctx.strokeStyle = colour(ink);
      ctx.stroke();
    });
  }
}

function shareAt(line, at) {
  let before = 0;
  for (let place = 1; place < line.at.length; place++) {
    if (line.at[place] >= at) {
      const width = line.at[place] - line.at[before] || 1;
      const part = (at - line.at[before]) / width;
      const from = line.handed_off[before];
      return (from + part * (line.handed_off[place] - from)) / line.messages;
    }
    before = place;
  }
  return line.handed_off.at(-1) / line.messages;
}

function room() {
  const style = getComputedStyle(element);
  return element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
}

function options(width) {
  const axis = {
    stroke: colour("--ink-2"),
    font: `12px ${getComputedStyle(document.body).fontFamily}`,
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
  };
  const bridged = (line) => ({ spanGaps: true, points: { show: false }, ...line });
  return {
    width,
    height: Math.max(180, Math.min(280, Math.round(width * 0.38))),
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false, range: (_, low, high) => [0, Math.max(high, 1)] },
      y: { range: [0, 1.02] },
    },
    axes: [
      { ...axis, values: (_, splits) => splits.map(spell), space: 72 },
      { ...axis, splits: [0, 0.5, 0.9, 1], size: 48, values: (_, splits) => splits.map((one) => `${one * 100}%`) },
    ],
    series: [
      {},
      bridged({ stroke: colour("--seen"), width: 2.5 }),
      bridged({ stroke: colour("--confirmed"), width: 2.5 }),
      bridged({ stroke: colour("--ink-2"), width: 1.5, dash: [5, 4] }),
    ],
    hooks: { draw: [marks] },
  };
}

function draw(anew) {
  if (!told) return;
  drawn = chosen();
  const data = columns(drawn);
  element.hidden = data[0].length < 2;
  if (element.hidden) return;
  if (plot && !anew) plot.setData(data);
  else {
    plot?.destroy();
    plot = new uPlot(options(room()), data, element);
  }
}

async function load() {
  if (fetching) return;
  fetching = true;
  try {
    const response = await fetch(element.dataset.reach, { signal: AbortSignal.timeout(8000) });
    if (response.ok) told = await response.json();
    draw(false);
  } catch (error) {
    // The page says by itself when its figures are old; the next poll asks again.
    if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
  } finally {
    fetching = false;
  }
}

await load();
choice.addEventListener("change", () => draw(false));
const progress = document.getElementById("progress");
// The stream brings the lines along; a page that asks for itself asks for them when they changed.
progress.addEventListener("live-plot", ({ detail }) => {
  told = detail;
  draw(false);
});
const stampOf = () => progress.querySelector(".figs")?.dataset.drawn;
let stamp = stampOf();
progress.addEventListener("htmx:afterSwap", () => {
  if (stampOf() !== stamp) {
    stamp = stampOf();
    load();
  }
});
let width = element.clientWidth;
new ResizeObserver(() => {
  const wide = element.clientWidth;
  if (wide && Math.abs(wide - width) > 4) {
    width = wide;
    draw(true);
  }
}).observe(element);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(true));
