// The tiles: a number, its details, and its last 15 minutes.

import { byId, el, setData, setText } from './dom.js';
import { count, ms, nice, rate, span, time, unknown } from './format.js';

const window15 = 900; // s
const shortest = 60; // s shown at least, while there is not more
const pointTime = 5; // s

const kinds = [
  ['recorded', 'recorded'], ['cached', 'cached'], ['joined', 'joined'], ['deferred', 'deferred'],
];

const asking = (s) => (s.queue.error ? 'unknown' : 'asking…');
const suppressed = (f) => f.recorded + f.cached + f.joined + f.deferred;
const backlog = (p) => (p.visible === null ? null : p.visible + (p.delayed ?? 0));

const edge = (n) => (n < 1 ? String(Number(n.toPrecision(1))) : count(n)); // of a chart: a round number
const perSecond = (n) => `${edge(n)}/s`;
const messages = (n) => `${count(Math.ceil(n))} ${n > 1 ? 'messages' : 'message'}`;

// Each tile: series are functions of a point, drawn over each other; at describes a point, by the
// first series or the one in main; scale formats a value with its unit; value, unit, sub, lines (the
// legend, strongest line first) and tone are functions of the status.
const definitions = [
  { id: 'handled', label: 'Handled', scale: perSecond, series: [(p) => p.handled], at: (p) => `${rate(p.handled)}/s`,
    value: (s) => rate(s.figures.handled), unit: () => '/s', sub: (s) => `${rate(s.figures.ended)}/s ended, over a minute` },
  { id: 'suppressed', label: 'Duplicates suppressed', scale: perSecond, stacked: true,
    series: [suppressed, (p) => p.recorded + p.cached + p.joined, (p) => p.recorded + p.cached, (p) => p.recorded],
    at: (p) => `${rate(suppressed(p))}/s`, value: (s) => rate(suppressed(s.figures)), unit: () => '/s', kinds: true },
  { id: 'failed', label: 'Failed', scale: perSecond, series: [(p) => p.failed], at: (p) => `${rate(p.failed)}/s`, bad: true,
    value: (s) => rate(s.figures.failed), unit: () => '/s', tone: (s) => (s.figures.failed > 0 ? 'bad' : ''),
    sub: (s) => (s.figures.failed > 0 ? 'see failures by error below' : 'no failures right now') },
  { id: 'in_flight', label: 'In flight', scale: messages, series: [(p) => p.in_flight], at: (p) => count(p.in_flight),
    value: (s) => count(s.messages), unit: () => '',
    sub: (s) => `${count(s.running)} of ${count(s.slots)} slots · ${count(s.queued)} queued${s.limited > 0 ? ` · ${count(s.limited)} limited` : ''} · ${count(s.parked)} parked · ${count(s.acks)} settling` },
  { id: 'received', label: 'Received', scale: perSecond, series: [(p) => p.received], at: (p) => `${rate(p.received)}/s`,
    value: (s) => rate(s.figures.received), unit: () => '/s', sub: (s) => `${count(s.polls)} ${s.polls === 1 ? 'receive' : 'receives'} polling the queue` },
  { id: 'oldest', label: 'Oldest in flight', scale: span, series: [(p) => p.oldest], at: (p) => span(p.oldest),
    value: (s) => (s.messages > 0 ? span(s.oldest) : unknown), unit: () => '', sub: (s) => `${count(s.messages)} ${s.messages === 1 ? 'message' : 'messages'} in this worker` },
  { id: 'queue', label: 'Queue', scale: messages, series: [(p) => p.visible], at: (p) => count(p.visible),
    value: (s) => count(s.queue.visible), unit: () => 'visible', sub: (s) => (s.queue.visible === null ? asking(s) : `${count(s.queue.in_flight)} in flight · ${count(s.queue.delayed)} delayed`) },
  { id: 'to_drain', label: 'Time to drain', scale: messages, series: [backlog], at: (p) => count(backlog(p)),
    value: (s) => (s.backlog === 0 ? 'empty' : s.to_drain === null ? unknown : span(s.to_drain)), unit: () => '',
    sub: (s) => (s.backlog === null ? asking(s) : s.backlog === 0 ? 'no backlog'
      : `backlog ${count(s.backlog)}, ${s.to_drain === null ? 'no message handled in the last minute' : 'at this worker’s rate'}`) },
  { id: 'dead', label: 'Dead letters', scale: messages, series: [(p) => p.dead], at: (p) => count(p.dead), bad: true,
    value: (s) => count(s.queue.dead), unit: () => '', tone: (s) => (s.queue.dead > 0 ? 'bad' : ''),
    sub: (s) => (s.queue.dead > 0 ? 'listed under “Dead letters”' : 'in the dead-letter queue') },
  { id: 'calls', label: 'AWS calls per message', scale: (n) => `${edge(n)} ${n === 1 ? 'call' : 'calls'}`, series: [(p) => p.calls_per_message], at: (p) => rate2(p.calls_per_message),
    value: (s) => rate2(s.figures.calls_per_message), unit: () => '', sub: () => 'over the last minute, including retries' },
  { id: 'handle', label: 'Handle time', scale: ms, series: [(p) => p.handle_p99, (p) => p.handle_p95, (p) => p.handle_p50], main: 1, at: (p) => `p95 ${ms(p.handle_p95)}`,
    value: (s) => ms(s.figures.handle_p50), unit: () => 'p50',
    lines: ['p50', (s) => `p95 ${ms(s.figures.handle_p95)}`, (s) => `p99 ${ms(s.figures.handle_p99)}`] },
  { id: 'dwell', label: 'Dwell, sent to handled', scale: ms, series: [(p) => p.dwell_p95, (p) => p.dwell_p50], at: (p) => `p95 ${ms(p.dwell_p95)}`,
    value: (s) => ms(s.figures.dwell_p50), unit: () => 'p50',
    lines: ['p50', (s) => `p95 ${ms(s.figures.dwell_p95)}`] },
];

const rate2 = (n) => (n === null || n === undefined ? unknown : n.toFixed(2));

let points = [];
const tiles = definitions.map(makeTile);

function makeTile(def) {
  const value = document.createTextNode(unknown);
  const unit = el('small');
  const at = el('span', { class: 'tile-at', 'aria-hidden': 'true' });
  const sub = el('p', { class: 'tile-sub' });
  const plot = el('div', { class: 'tile-plot', role: 'slider', tabIndex: 0, 'aria-readonly': 'true', 'aria-label': def.label,
    'aria-valuemin': '0', 'aria-valuemax': '0', 'aria-valuenow': '0', onkeydown: step,
    onfocus: () => { if (plot.matches(':focus-visible')) read(points.at(-1)?.t ?? null); }, // not by a click, which reads where it is
    onblur: () => { if (reading !== null) read(null); }, onpointermove: () => { reading = null; }, onpointerdown: () => { reading = null; } });
  const node = el('article', { class: 'tile', id: `tile-${def.id}` },
    el('div', { class: 'tile-head' }, el('h2', {}, def.label), at),
    el('p', { class: 'tile-value' }, value, unit), sub, plot);
  const scale = el('span', { class: 'tile-scale', 'aria-hidden': 'true' });
  plot.append(scale);
  const tile = { def, node, value, unit, at, sub, plot, scale, chart: null, kinds: null, lines: null };
  if (def.lines) {
    sub.classList.add('lines');
    tile.lines = def.lines.map((line, i) => {
      const text = el('span', {}, typeof line === 'string' ? line : '');
      sub.append(el('span', {}, el('i', { class: `line line${i + 1}` }), text));
      return [line, text];
    });
  }
  if (def.kinds) {
    sub.classList.add('kinds');
    tile.kinds = kinds.map(([key, label], i) => {
      const number = el('b');
      sub.append(el('span', {}, el('i', { class: `key key${i + 1}` }), el('span', { class: 'label' }, label), number));
      return [key, number];
    });
  }
  return tile;
}

// reach returns the time range of the sparklines: the known one, from 1 to 15 minutes.
function reach() {
  if (!points.length) return [0, shortest];
  const last = points.at(-1).t;
  return [last - Math.min(window15, Math.max(shortest, last - points[0].t)), last];
}

// showReach shows the time range of the sparklines.
function showReach() {
  const [start, end] = reach();
  const minutes = Math.ceil((end - start) / 60);
  setText(byId('reach'), `Charts: the last ${minutes === 1 ? 'minute' : `${minutes} minutes`}${minutes < window15 / 60 ? `, later ${window15 / 60}` : ''}`);
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// shownPoints returns the points of the last 15 minutes.
function shownPoints() {
  const start = (points.at(-1)?.t ?? 0) - window15;
  return points.filter((p) => p.t >= start);
}

// data returns the values of a tile, with gaps for unknown ones.
function data(tile) {
  const shown = shownPoints();
  return [shown.map((p) => p.t), ...tile.def.series.map((f) => shown.map((p) => f(p) ?? null))];
}

// reading is the time at which the keyboard reads all sparklines; null: none.
let reading = null;

function read(t) {
  reading = t;
  showReading();
}

function showReading() {
  for (const { chart } of tiles) {
    const left = reading === null ? -10 : Math.max(0, chart.valToPos(reading, 'x'));
    chart.setCursor({ left, top: reading === null ? -10 : 0 }, true, false); // each of them by itself
  }
}

const minute = 60 / pointTime; // points
const ways = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -minute, PageUp: minute, Home: -Infinity, End: Infinity };

// step moves the reading with the arrow keys.
function step(event) {
  const shown = shownPoints();
  if (event.key === 'Escape') {
    read(null);
  } else if (Object.hasOwn(ways, event.key) && shown.length) {
    event.preventDefault();
    const at = reading === null ? shown.length - 1 : Math.max(0, shown.findIndex((p) => p.t >= reading));
    read(shown[Math.min(shown.length - 1, Math.max(0, at + ways[event.key]))].t);
  }
}

// describe describes a sparkline and its reading in words.
function describe(tile, at) {
  const { def, plot } = tile;
  const shown = shownPoints();
  const set = (name, value) => { if (plot.getAttribute(name) !== value) plot.setAttribute(name, value); };
  const index = at ? shown.indexOf(at) : shown.length - 1;
  set('aria-valuemax', String(Math.max(0, shown.length - 1)));
  set('aria-valuenow', String(Math.max(0, index)));
  set('aria-valuetext', index < 0 ? 'no data yet' : `${time(shown[index].t * 1000)}: ${def.at(shown[index])}`);
  if (document.activeElement === plot) return; // or it would be read out every second
  const value = def.series[def.main ?? 0];
  const known = shown.filter((p) => (value(p) ?? null) !== null);
  const by = (better) => def.at(known.reduce((best, p) => (better(value(p), value(best)) ? p : best)));
  set('aria-label', known.length === 0 ? `${def.label}, no data yet`
    : `${def.label}, ${byId('reach').textContent.split(',')[0].toLowerCase().replace('charts: ', '')}: lowest ${by((a, b) => a < b)}, highest ${by((a, b) => a > b)}, last ${def.at(known.at(-1))}`);
}

// top returns the upper edge of a chart with the highest value max.
const top = (max) => (max > 0 ? nice(max) : 1);

// showScale shows the value of a chart's upper edge.
function showScale(tile) {
  const max = Math.max(0, ...tile.chart.data.slice(1).flat().filter((n) => n !== null));
  setText(tile.scale, max > 0 ? tile.def.scale(top(max)) : '');
}

function draw(tile) {
  tile.chart?.destroy();
  const stroke = color(tile.def.bad ? '--bad' : '--spark');
  const stack = ['--k4', '--k3', '--k2', '--k1'].map(color);
  const series = tile.def.series.map((_, i) => (tile.def.stacked
    ? { stroke: stack[i], width: 1, fill: stack[i], points: { show: false } }
    : { stroke, width: i === tile.def.series.length - 1 ? 1.6 : 1, fill: i === 0 ? `${stroke}22` : undefined,
      dash: [undefined, [5, 3], [1.5, 3]][tile.def.series.length - 1 - i], points: { show: false } }));
  tile.chart = new uPlot({
    width: Math.max(40, tile.plot.clientWidth), height: 44, padding: [4, 0, 0, 0],
    axes: [{ show: false }, { show: false }], legend: { show: false },
    scales: {
      x: { time: true, range: () => reach() },
      y: { range: (u, min, max) => [0, top(max)] },
    },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 5 }, sync: { key: 'tiles' } },
    series: [{}, ...series],
    hooks: { setCursor: [(u) => {
      const index = u.cursor.idx ?? null;
      const p = index === null ? undefined : points.find((q) => q.t === u.data[0][index]);
      setText(tile.at, p ? `${time(p.t * 1000)}  ${tile.def.at(p)}` : '');
      describe(tile, p);
    }] },
  }, data(tile), tile.plot);
}

export function startTiles() {
  byId('tiles').append(...tiles.map((t) => t.node));
  tiles.forEach(draw);
  const sizes = new ResizeObserver(() => {
    for (const t of tiles) {
      const width = t.plot.clientWidth;
      if (width > 0 && width !== t.chart.width) t.chart.setSize({ width, height: 44 });
    }
  });
  sizes.observe(byId('tiles'));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => tiles.forEach(draw));
  addEventListener('pointerleave', () => { if (reading === null) tiles.forEach((t) => setText(t.at, '')); });
}

export function setHistory(all) {
  points = all;
  show();
}

// addPoints replaces the running point and appends the next one.
export function addPoints(last) {
  const byTime = new Map(points.map((p) => [p.t, p]));
  for (const p of last) byTime.set(p.t, p);
  points = [...byTime.values()].sort((a, b) => a.t - b.t);
  points = points.slice(-(window15 / pointTime + 1));
  show();
}

function show() {
  showReach();
  for (const t of tiles) {
    t.chart.setData(data(t));
    showScale(t);
    if (reading === null && !t.at.textContent) describe(t);
  }
  // Keep the reading while the chart moves on, which happens in a microtask.
  if (reading !== null) queueMicrotask(showReading);
}

export function setFigures(status) {
  for (const t of tiles) {
    const value = t.def.value(status);
    if (t.value.data !== value) t.value.data = value;
    setText(t.unit, value === unknown ? '' : t.def.unit(status));
    if (t.kinds) for (const [key, node] of t.kinds) setText(node, rate(status.figures[key]));
    else if (t.lines) for (const [line, node] of t.lines) setText(node, typeof line === 'string' ? line : line(status));
    else setText(t.sub, t.def.sub(status));
    setData(t.node, 'tone', t.def.tone?.(status) ?? '');
  }
}
