// The dead-letter queue: list and redrive.

import { at, follow, post, queue, session } from './api.js';
import { ask, byId, el, redraw, setData, setText, toast } from './dom.js';
import { bytes, count, date, quoted, short, span } from './format.js';
import { nameLink } from './tables.js';

let depth = null;
let found = null;
let busy = false;
let prefix = '';

export function setDepth(n) {
  depth = n;
  const badge = byId('dead-count');
  setText(badge, count(n)); // its place is kept, so that nothing moves when it grows
  setData(badge, 'tone', n ? 'bad' : 'none');
  const note = byId('dead-depth');
  if (note) setText(note, depthText());
}

const depthText = () => (depth === null || depth === undefined ? 'The depth of the dead-letter queue is unknown.'
  : `${count(depth)} ${depth === 1 ? 'message' : 'messages'} in ${queue.dlq}.`);

export function showDead() {
  const place = byId('dead');
  const list = el('div', { id: 'dead-list' });
  redraw(place, [
    el('p', { class: 'lead' }, 'Messages that failed for good, with the reason. SQS cannot list messages without receiving them, so each look raises the receive count of every message by one. ',
      'The count has no effect here, unless this queue has its own redrive policy. Messages are invisible during a look, at most two minutes.'),
    el('div', { class: 'toolbar' },
      session.may_act && el('button', { type: 'button', class: 'primary', id: 'peek', onclick: () => peek() }, 'Look'),
      session.may_act && el('label', { class: 'unseen', for: 'dead-prefix' }, 'Names that begin with'),
      session.may_act && el('input', { id: 'dead-prefix', type: 'search', placeholder: 'Names that begin with…', value: prefix, maxLength: 1024, spellcheck: 'false',
        onchange: (event) => { prefix = event.target.value; peek(); } }),
      session.may_act && el('button', { type: 'button', id: 'redrive-all', onclick: () => redrive({ all: true }, 'all dead letters') }, 'Redrive all…'),
      session.may_act && queue.purge && el('button', { type: 'button', class: 'danger', id: 'purge', onclick: purge }, 'Purge…'),
      el('span', { class: 'note', id: 'dead-depth' }, depthText())),
    el('p', { id: 'dead-progress', class: 'verdict', role: 'status' }), list], 'peek');
  if (!session.may_act) list.append(el('div', { class: 'panel' }, el('p', { class: 'empty' }, 'Message bodies are confidential. Log in to look.')));
  else render();
}

async function peek(after) {
  const button = byId('peek');
  if (!button) return; // whoever asked is somewhere else by now
  const focused = byId('dead').contains(document.activeElement);
  button.disabled = true;
  setText(button, 'Looking…');
  try {
    found = await post(at('dead/peek'), { prefix, after });
    render();
  } catch (error) {
    toast(error.message);
  } finally {
    button.disabled = false;
    setText(button, 'Look');
    // A button that is disabled, or gone with its letter, has lost the focus.
    if (focused && !byId('dead').contains(document.activeElement)) button.focus({ preventScroll: true });
  }
}

function render() {
  const list = byId('dead-list');
  if (!list) return;
  if (!found) {
    list.replaceChildren(el('div', { class: 'panel' }, el('p', { class: 'empty' }, 'Not loaded yet.')));
    return;
  }
  if (!found.seen) {
    redraw(list, [el('div', { class: 'panel' }, el('p', { class: 'empty' }, 'No dead letters.'))]);
    return;
  }
  const open = new Set([...list.querySelectorAll('details[open]')].map((letter) => letter.id));
  redraw(list, [
    found.counted && el('p', { class: 'notice warn' }, 'This queue has its own redrive policy: each look brings its messages closer to being moved on.'),
    found.unreleased > 0 && el('p', { class: 'notice warn' }, `${count(found.unreleased)} could not be made visible at once. They become visible within two minutes.`),
    !found.found && el('div', { class: 'panel' }, el('p', { class: 'empty' }, `None of the ${count(found.seen)} letters has a name that begins with “${quoted(prefix)}”.`)),
    ...found.groups.map((g) => group(g, open)),
    found.next && el('div', { class: 'toolbar' }, el('button', { type: 'button', id: 'dead-next', onclick: () => peek(found.next) }, 'Next page')),
    found.more && el('p', { class: 'note' }, `${count(found.seen)} were examined; there may be more.`),
  ].filter(Boolean));
}

function group(g, open) {
  return el('div', { class: 'panel' },
    el('div', { class: 'panel-head' },
      el('h2', { class: 'foreign' }, g.reason), el('span', { class: 'note' }, `${count(g.count)} × · sent ${date(g.first)}${date(g.first) === date(g.last) ? '' : ` to ${date(g.last)}`}`),
      el('div', { class: 'right' }, el('button', { type: 'button', class: 'small', id: `group-${g.reason}`, onclick: () => redrive({ reason: g.reason }, `the group “${quoted(g.reason)}”`) }, 'Redrive group…'))),
    g.messages.map((m) => letter(m, open)),
    !g.messages.length && el('p', { class: 'empty' }, 'None of them is on this page.'));
}

function letter(m, open) {
  const id = `letter-${m.id}`;
  return el('details', { class: 'letter', id, open: open.has(id) },
    el('summary', { id: `${id}-summary` }, el('span', { class: 'name', title: m.name }, short(m.name) || 'no name'),
      el('span', { class: 'note' }, el('bdi', {}, m.error || 'no error recorded'),
        [' ', m.attempts && `${m.attempts} ${m.attempts === 1 ? 'attempt' : 'attempts'}`, m.status].filter(Boolean).join(' · ').replace('  · ', ' · '))),
    el('div', { class: 'inside' },
      el('pre', { tabIndex: 0 }, m.body),
      el('div', { class: 'toolbar' },
        el('button', { type: 'button', class: 'small', onclick: () => redrive({ ids: [m.id] }, `“${quoted(m.name || m.id)}”`) }, 'Redrive this one'),
        m.name && el('span', { class: 'small' }, nameLink(m.name)),
        el('span', { class: 'note' }, `${bytes(m.bytes)} · sent ${date(m.sent)} · received ${m.receives} × here · message ${m.id}${m.original_id ? `, was ${m.original_id}` : ''}`))));
}

async function redrive(selection, what) {
  if (busy) return;
  busy = true;
  if (!await agreed(selection, what)) {
    busy = false;
    return;
  }
  const progress = byId('dead-progress');
  const start = performance.now();
  let last = null;
  try {
    await follow(at('dead/redrive'), selection, (step) => {
      last = step;
      setText(progress, `${count(step.moved)} sent back, ${count(step.seen)} examined…`);
    });
    const took = span((performance.now() - start) / 1000);
    setText(progress, outcome(last, took));
  } catch (error) {
    setText(progress, error.message);
  } finally {
    busy = false;
  }
  await peek();
}

async function purge() {
  const yes = await ask({ title: 'Purge?', danger: true, yes: 'Delete all', text: `This deletes every message in ${queue.dlq} for good. SQS does it within a minute.` });
  if (!yes) return;
  try {
    const done = await post(at('dead/purge'));
    toast(`About ${count(done.purged)} deleted.`);
  } catch (error) {
    toast(error.message);
  }
  await peek();
}

// agreed previews a redrive and asks the visitor. It adds the confirmation for names with an unknown
// outcome to the selection.
async function agreed(selection, what) {
  let plan = null;
  try {
    setText(byId('dead-progress'), `Checking ${what}…`);
    await follow(at('dead/redrive'), { ...selection, preview: true }, (step) => { plan = step; });
  } catch (error) {
    setText(byId('dead-progress'), error.message);
    return false;
  }
  setText(byId('dead-progress'), '');
  if (selection.ids && !plan.kept) return true;
  const others = plan.kept - plan.unknown;
  const why = plan.items?.find((i) => i.why && !i.unknown)?.why;
  const yes = await ask({
    title: 'Redrive?', yes: plan.unknown && !plan.moved ? 'Run again' : 'Redrive', danger: plan.unknown > 0,
    text: [
      `This sends ${count(plan.moved)} of ${what} back to ${queue.name}. A rejected name runs again, with all its attempts. A completed name does not run again.`,
      plan.unknown && `${count(plan.unknown)} with an unknown outcome: the work may have been done${names(plan)}. ${plan.moved ? 'They stay; redrive them one by one to run them again' : 'It would run again'}.`,
      others && `${count(others)} stay, because the worker would return them at once${why ? `: ${why}` : ''}.`,
      plan.more && 'There may be more.',
    ].filter(Boolean).join(' '),
  });
  if (yes && plan.unknown && !plan.moved) selection.reopen_unknown = true;
  return yes;
}

// names lists the first names with an unknown outcome. A plan may show none of them.
function names(plan) {
  const some = (plan.items ?? []).filter((i) => i.unknown).slice(0, 3);
  return some.length ? ` (${some.map((i) => quoted(quoted(short(i.name || i.id, 40)))).join(', ')})` : '';
}

// outcome describes the result of a redrive.
function outcome(last, took) {
  if (!last) return 'The redrive ended without a result.';
  return [
    `${count(last.moved)} sent back in ${took}${last.done || last.more ? '' : ', then it ended early'}.`,
    last.kept > 0 && `${count(last.kept)} kept: ${last.items[0].why}.`,
    last.doubly > 0 && `${count(last.doubly)} sent, but not deleted here.`,
    last.returned > 0 && `${count(last.returned)} failed again meanwhile and stay here.`,
    last.refused > 0 && `${count(last.refused)} could not be sent.`,
    last.error,
    last.more && 'There may be more: redrive again.',
  ].filter(Boolean).join(' ');
}
