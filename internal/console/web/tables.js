// The messages in flight, the recent outcomes, and the failures.

import { byId, el, rows, setData, setText } from './dom.js';
import { count, ms, seen, short, span, time, unknown } from './format.js';

const tones = {
  completed: 'good', recorded: 'info', cached: 'info', joined: 'info', deferred: 'info',
  retrying: 'warn', released: 'warn', unrecorded: 'warn', hold: 'warn', lost: 'warn', release: 'warn',
  running: 'good', held: 'warn', parked: 'info', limited: 'info', following: 'info',
};
const bad = ['rejected', 'unknown', 'exhausted', 'mismatch', 'dead-letter', 'dead-lettered', 'unreadable', 'lease lost', 'store failed'];

export const toneOf = (outcome) => (bad.includes(outcome) ? 'bad' : tones[outcome] ?? '');

export function badge(text, tone = toneOf(text)) {
  return el('span', { class: 'badge', 'data-tone': tone }, text);
}

export const nameLink = (name) => (name
  ? pointTo(el('a'), name)
  : el('span', { class: 'faint' }, 'no name'));

// pointTo links to the story of the whole name, even if it is shown shortened.
function pointTo(link, name) {
  if (link.whole !== name) {
    Object.assign(link, { href: `#/name/${encodeURIComponent(name)}`, title: seen(name), dir: 'auto', whole: name });
    link.replaceChildren(...cut(short(seen(name))));
  }
  return link;
}

const ending = 10; // characters

// cut returns a name in two parts, of which the first is shortened if there is no room.
function cut(name) {
  const characters = [...name];
  if (characters.length <= 2 * ending) return [name];
  return [el('span', { class: 'cut' },
    el('span', { class: 'beginning' }, characters.slice(0, -ending).join('')),
    el('span', { class: 'ending' }, characters.slice(-ending).join('')))];
}

// nameCell is the cell of a name; name(text) sets it, since that of a message
// becomes known only when it is read.
function nameCell() {
  const link = el('a'); // one for good: it may have the focus
  const none = nameLink('');
  const cell = el('td', { class: 'name' }, link, none);
  cell.name = (name) => {
    pointTo(link, name).hidden = !name;
    none.hidden = Boolean(name);
  };
  return cell;
}

// details makes the rows of a table expandable: another row with more fields follows an open one.
// keyOf returns the key of a row, facts returns pairs of label and text, and draw redraws the table.
function details(keyOf, facts, draw) {
  const open = new Set();
  return {
    // of returns list with the rows that follow open ones.
    of(list) {
      const here = new Set(list.map(keyOf));
      for (const key of open) if (!here.has(key)) open.delete(key);
      return list.flatMap((item) => (open.has(keyOf(item)) ? [item, { of: item }] : [item]));
    },
    button(item) {
      const key = keyOf(item);
      return el('button', { type: 'button', class: 'open', 'aria-expanded': 'false', onclick: () => {
        if (!open.delete(key)) open.add(key);
        draw();
      } });
    },
    // update sets the label of a row's button.
    update(button, item) {
      const label = `Details of ${item.name || `message ${item.id}`}`;
      if (button.getAttribute('aria-label') !== label) button.setAttribute('aria-label', label);
      const expanded = String(open.has(keyOf(item)));
      if (button.getAttribute('aria-expanded') !== expanded) button.setAttribute('aria-expanded', expanded);
    },
    row: (columns) => el('tr', { class: 'details' }, el('td', { colspan: String(columns) }, el('dl'))),
    show(row, item) {
      rows(row.querySelector('dl'), facts(item).filter(([, text]) => text), ([label]) => label,
        ([label]) => el('div', {}, el('dt', {}, label), el('dd')), (node, [, text]) => setText(node.lastChild, text));
    },
  };
}

let flights = [];
let status = { now: 0, messages: 0 };

// setFlights is called after the status of the same time.
export function setFlights(list) {
  flights = list;
  showFlights(status);
}

const flightKey = (f) => `${f.id} ${f.receive}`; // SQS may have delivered one twice
const flightDetails = details(flightKey, (f) => [
  ['Message', f.id], ['Fence', f.fence], ['Attempt', f.attempt && String(f.attempt)],
  ['Waits for', f.waits_for], ['Received', time(f.received)], ['Receive', String(f.receive)],
], () => showFlights(status));

// showFlights is called once a second, for the countdowns.
export function showFlights(latest) {
  status = latest;
  const now = status.now;
  rows(byId('flights').tBodies[0], flightDetails.of(flights), (f) => (f.of ? `${flightKey(f.of)} details` : flightKey(f)), (f) => {
    if (f.of) return flightDetails.row(9);
    const cells = {};
    const cell = (key, className = 'num') => (cells[key] = el('td', { class: className }));
    const phase = badge('');
    const name = nameCell();
    const button = flightDetails.button(f);
    name.prepend(button);
    const row = el('tr', {},
      name, el('td', {}, phase), cell('age'), cell('lease'), cell('hidden'),
      cell('attempt'), cell('receive'), cell('fence', 'num wide faint'), el('td', { class: 'mono wide', title: f.id }, f.id.slice(0, 8)));
    Object.assign(row, { cells2: cells, phase, name, button });
    return row;
  }, (row, f) => {
    if (f.of) {
      flightDetails.show(row, f.of);
      return;
    }
    const c = row.cells2;
    row.name.name(f.name);
    flightDetails.update(row.button, f);
    setText(row.phase, f.waits_for ? `waits for ${f.waits_for.slice(0, 8)}` : f.phase);
    setData(row.phase, 'tone', toneOf(f.phase));
    setText(c.age, span((now - f.received) / 1000));
    countdown(c.lease, f.lease_until, now);
    countdown(c.hidden, f.visible_at, now);
    setText(c.attempt, f.attempt ? String(f.attempt) : unknown);
    setText(c.receive, f.last_receive ? `${f.receive}, last` : String(f.receive));
    setText(c.fence, f.fence ?? unknown);
  });
  byId('flights-empty').hidden = flights.length > 0;
  setText(byId('flights-note'), status.messages > flights.length ? `the oldest ${count(flights.length)} of ${count(status.messages)}` : '');
}

function countdown(cell, until, now) {
  const left = until ? (until - now) / 1000 : null;
  setText(cell, left === null ? unknown : left <= 0 ? 'over' : span(left));
  cell.classList.toggle('low', left !== null && left < 5);
}

let outcomes = [];
const outcomeDetails = details((o) => o.seq, (o) => [
  ['Error', o.error], ['Message', o.id], ['Then', o.action], ['Receive', String(o.receive)],
  ['Attempt', o.attempt && String(o.attempt)], ['Fence', o.fence],
], () => setOutcomes(outcomes));

export function setOutcomes(list) {
  outcomes = list;
  rows(byId('outcomes').tBodies[0], outcomeDetails.of(list), (o) => (o.of ? `${o.of.seq} details` : o.seq), (o) => {
    if (o.of) return outcomeDetails.row(5);
    const button = outcomeDetails.button(o);
    return Object.assign(el('tr', {},
      el('td', { class: 'num faint start' }, button, time(o.at)),
      el('td', { class: 'name' }, nameLink(o.name)),
      el('td', { title: o.error ?? '' }, badge(o.outcome)),
      el('td', { class: 'wide faint', title: o.id }, o.receive > 1 ? `${o.action}, receive ${o.receive}` : o.action),
      el('td', { class: 'num' }, ms(o.took_ms))), { button });
  }, (row, o) => {
    if (o.of) outcomeDetails.show(row, o.of);
    else outcomeDetails.update(row.button, o);
  });
  byId('outcomes-empty').hidden = list.length > 0;
}

export function setFailures(list) {
  rows(byId('failures'), list, (f) => f.error, (f) => {
    const times = el('span', { class: 'times' });
    const when = el('span');
    const link = el('a'); // one for good: it may have the focus
    const none = nameLink('');
    const sample = el('span');
    const item = el('li', {}, el('span', { class: 'what' }, f.error), times, el('span', { class: 'more' }, when, link, none, sample));
    Object.assign(item, { times, when, link, none, sample });
    return item;
  }, (item, f) => {
    setText(item.times, `${count(f.count)} ×`);
    setText(item.when, `first ${time(f.first)}, last ${time(f.last)}, such as `);
    pointTo(item.link, f.name).hidden = !f.name;
    item.none.hidden = Boolean(f.name);
    setText(item.sample, f.sample === f.error ? '' : `: ${f.sample}`);
  });
  byId('failures-empty').hidden = list.length > 0;
  setText(byId('failures-note'), list.length ? 'since the start' : '');
}
