// The live figures of the configured workers.

import { at, get } from './api.js';
import { byId, el, redraw } from './dom.js';
import { count, ms, rate, span } from './format.js';

let timer = 0;

export function showWorkers() {
  clearTimeout(timer);
  refresh();
}

async function refresh() {
  const place = byId('workers');
  if (place.closest('section').hidden) return;
  try {
    const { workers, now } = await get(at('workers'));
    redraw(place, [el('div', { class: 'panel' }, el('div', { class: 'scroll', tabIndex: 0, role: 'region', 'aria-label': 'Workers' },
      el('table', { class: 'grid', id: 'workers-table' },
        el('thead', {}, el('tr', {}, ...['Worker', 'State', 'Slots taken', 'Messages here', 'Handled/s', 'Failed/s', 'Handle time p95', 'Up'].map((text, i) =>
          el('th', { scope: 'col', class: i > 1 ? 'num' : '' }, text)))),
        el('tbody', {}, workers.map((w) => row(w, now))))))]);
  } catch (error) {
    redraw(place, [el('div', { class: 'panel' }, el('p', { class: 'empty' }, error.message))]);
  }
  timer = setTimeout(refresh, 2000);
}

function row(w, now) {
  const link = el('a', { href: w.url, rel: 'noreferrer' }, w.url);
  if (w.error) return el('tr', {}, el('td', {}, link), el('td', { colspan: '7' }, w.error));
  const numbers = [`${count(w.running)} of ${count(w.slots)}`, count(w.messages), rate(w.figures.handled), rate(w.figures.failed), ms(w.figures.handle_p95), span((now - w.started) / 1000)];
  return el('tr', {}, el('td', {}, link), el('td', {}, w.state), ...numbers.map((text) => el('td', { class: 'num' }, text)));
}
