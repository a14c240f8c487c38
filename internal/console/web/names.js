// The names that need attention: a list to filter, and to settle one or many at once.

import { at, get, post, queue, session } from './api.js';
import { ask, byId, el, redraw, setText, toast } from './dom.js';
import { count, date, quoted, seen, short, span } from './format.js';
import { nameLink } from './tables.js';

const statuses = ['unknown', 'rejected', 'retrying'];
const filter = { status: new Set(statuses), prefix: '', older: '' };
const chosen = new Set();
let list = null;
let trail = ['']; // where the pages begin that were shown
let busy = false;

let drawnFor = null; // whether the visitor could act

export function showNames() {
  if (byId('names-filter') && drawnFor === session.may_act) { // it stays as it is while others are looked at
    load();
    return;
  }
  drawnFor = session.may_act;
  redraw(byId('names'), [
    el('p', { class: 'lead' }, 'Names that are UNKNOWN (their work may have been done), REJECTED (failed for good) or RETRYING. The latest are first.'),
    el('form', { id: 'names-filter', class: 'toolbar', onsubmit: (event) => { event.preventDefault(); first(); } },
      ...statuses.map((status) => el('label', { class: 'check' },
        el('input', { type: 'checkbox', id: `status-${status}`, checked: true, onchange: (event) => {
          filter.status[event.target.checked ? 'add' : 'delete'](status);
          first();
        } }), ` ${status}`)),
      el('label', { class: 'unseen', for: 'names-prefix' }, 'Names that begin with'),
      el('input', { id: 'names-prefix', type: 'search', placeholder: 'Names that begin with…', maxLength: 1024, spellcheck: 'false',
        onchange: (event) => { filter.prefix = event.target.value; first(); } }),
      el('label', { class: 'unseen', for: 'names-older' }, 'Older than'),
      el('select', { id: 'names-older', onchange: (event) => { filter.older = event.target.value; first(); } },
        ...[['', 'of any age'], ['10m', 'older than 10 min'], ['1h', 'older than 1 h'], ['24h', 'older than 1 day']].map(([value, text]) => el('option', { value }, text))),
      el('button', { type: 'submit', id: 'names-look' }, 'Reload')),
    el('div', { class: 'toolbar', id: 'names-actions' },
      el('span', { class: 'note', id: 'names-chosen', role: 'status' }),
      session.may_act && queue.settle && [
        ['completed', 'Completed…', 'primary'], ['retry', 'Retry…', ''], ['forget', 'Forget…', 'danger'],
      ].map(([verb, text, kind]) => el('button', { type: 'button', class: kind, id: `settle-${verb}`, disabled: true, onclick: () => settle(verb) }, text))),
    el('p', { id: 'names-report', class: 'verdict', role: 'status' }),
    el('div', { id: 'names-list' })]);
  first();
}

function first() {
  trail = [''];
  return load();
}

async function load() {
  const after = trail[trail.length - 1];
  const query = new URLSearchParams({ status: [...filter.status].join(','), prefix: filter.prefix, older: filter.older, after });
  try {
    list = filter.status.size ? await get(`${at('names/list')}?${query}`) : { names: [] };
    chosen.clear();
    render();
  } catch (error) {
    byId('names-list').replaceChildren(el('div', { class: 'panel' }, el('p', { class: 'empty' }, error.message)));
  }
}

function render() {
  const place = byId('names-list');
  if (!place) return;
  if (!list.names.length) {
    redraw(place, [el('div', { class: 'panel' }, el('p', { class: 'empty' }, list.next ? 'None on this page.' : 'No stuck names.')), pager()]);
    showChosen();
    return;
  }
  const all = el('input', { type: 'checkbox', id: 'choose-all', onchange: (event) => {
    for (const n of list.names) chosen[event.target.checked ? 'add' : 'delete'](n.name);
    for (const box of place.querySelectorAll('tbody input')) box.checked = event.target.checked;
    showChosen();
  } });
  all.setAttribute('aria-label', 'Choose all on this page');
  redraw(place, [el('div', { class: 'panel' }, el('div', { class: 'scroll', tabIndex: 0, role: 'region', 'aria-label': 'Names' },
    el('table', { class: 'grid', id: 'names-table' },
      el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, all), el('th', { scope: 'col' }, 'Name'), el('th', { scope: 'col' }, 'Status'),
        el('th', { scope: 'col', class: 'num' }, 'Attempts'), el('th', { scope: 'col' }, 'For'), el('th', { scope: 'col' }, 'Last error'))),
      el('tbody', {}, list.names.map(row))))), pager()]);
  showChosen();
}

function row(n) {
  const box = el('input', { type: 'checkbox', checked: chosen.has(n.name), onchange: (event) => {
    chosen[event.target.checked ? 'add' : 'delete'](n.name);
    showChosen();
  } });
  box.setAttribute('aria-label', `Choose ${quoted(n.name)}`);
  return el('tr', {}, el('td', {}, box), el('td', {}, nameLink(n.name)), el('td', {}, n.status), el('td', { class: 'num' }, String(n.attempts)),
    el('td', { title: date(n.since) }, span((list.now - n.since) / 1000)), el('td', { title: seen(n.error ?? ''), dir: 'auto' }, seen(short(n.error ?? '', 90))));
}

function pager() {
  return el('div', { class: 'toolbar' },
    trail.length > 1 && el('button', { type: 'button', id: 'names-back', onclick: () => { trail.pop(); load(); } }, 'Previous page'),
    list.next && el('button', { type: 'button', id: 'names-next', onclick: () => { trail.push(list.next); load(); } }, 'Next page'),
    el('span', { class: 'note' }, `Page ${count(trail.length)}, ${count(list.names.length)} ${list.names.length === 1 ? 'name' : 'names'}`));
}

function showChosen() {
  setText(byId('names-chosen'), chosen.size ? `${count(chosen.size)} chosen` : 'Choose names to settle them');
  for (const verb of ['completed', 'retry', 'forget']) {
    const button = byId(`settle-${verb}`);
    if (button) button.disabled = busy || chosen.size === 0;
  }
}

const questions = {
  completed: ['Was their work done?', 'Record as completed', 'is recorded as completed: it never runs again.'],
  retry: ['Run them again?', 'Run again', 'may run again, with all its attempts. Its dead letter goes back to the queue.'],
  forget: ['Forget them?', 'Forget', 'is forgotten: its outcome is lost, and the next message of this name runs.'],
};

// settle previews a verb, asks the visitor, applies it, and reports the result.
async function settle(verb) {
  const names = [...chosen];
  if (busy || !names.length) return;
  busy = true;
  showChosen();
  try {
    const report = await agreeAndSettle(verb, names);
    if (report) setText(byId('names-report'), report);
  } catch (error) {
    toast(error.message);
  } finally {
    busy = false;
    await load();
  }
}

// agreeAndSettle returns the result as text; empty if the answer was no.
export async function agreeAndSettle(verb, names) {
  const [title, yes, text] = questions[verb];
  const plan = await post(at('names/settle'), { verb, names, preview: true });
  const others = plan.names.filter((n) => !n.done);
  const agreed = await ask({
    title, yes, danger: verb !== 'completed',
    text: [
      `Each of ${count(plan.done)} ${plan.done === 1 ? 'name' : 'names'} ${text}`,
      others.length && `${count(others.length)} stay unchanged: ${others.slice(0, 3).map((n) => `${quoted(short(n.name, 40))} (${quoted(n.why)})`).join(', ')}${others.length > 3 ? ' …' : ''}.`,
    ].filter(Boolean).join(' '),
  });
  if (!agreed) return '';
  const report = await post(at('names/settle'), { verb, names });
  const kept = report.names.filter((n) => !n.done);
  const lines = [`${verb}: ${count(report.done)} of ${count(report.names.length)} ${report.names.length === 1 ? 'name' : 'names'}.`,
    ...kept.slice(0, 5).map((n) => `${quoted(short(n.name, 40))}: ${quoted(n.why)}.`)];
  if (verb === 'retry' && queue.dlq && report.done) lines.push(await sendBack(report.names.filter((n) => n.done).map((n) => n.name)));
  return lines.join(' ');
}

// sendBack redrives the letters of names, without which they do not run.
async function sendBack(names) {
  const response = await fetch(at('dead/redrive'), {
    method: 'POST', headers: { 'Content-Type': 'application/json', 'X-Csrf-Token': session.csrf ?? '' }, body: JSON.stringify({ names }),
  });
  const last = (await response.text()).trim().split('\n').pop();
  const step = JSON.parse(last);
  return step.detail ?? `${count(step.moved)} dead ${step.moved === 1 ? 'letter' : 'letters'} sent back${step.kept ? `, ${count(step.kept)} kept` : ''}.`;
}
