// The dead-letter queue: look, and send back.

import { at, follow, post, queue, session } from './api.js';
import { ask, byId, el, redraw, setData, setText, toast } from './dom.js';
import { bytes, count, date, short, span } from './format.js';
import { nameLink } from './tables.js';

let depth = null;
let found = null;
let busy = false;

export function setDepth(n) {
  depth = n;
  const badge = byId('dead-count');
  setText(badge, count(n)); // its place is kept, so that nothing moves when it grows
  setData(badge, 'tone', n ? 'bad' : 'none');
  const note = byId('dead-depth');
  if (note) setText(note, depthText());
}

const depthText = () => (depth === null || depth === undefined ? 'The depth of the dead-letter queue is not known.'
  : `${count(depth)} ${depth === 1 ? 'message' : 'messages'} in ${queue.dlq}.`);

export function showDead() {
  const place = byId('dead');
  const list = el('div', { id: 'dead-list' });
  redraw(place, [
    el('p', { class: 'lead' }, 'What the worker gave up, with the reason. SQS has no way to look without receiving: each look counts as one receive of every message it shows. ',
      'Nothing acts on that count here, unless this queue has a redrive policy of its own. Messages are hidden for as long as a look takes, at most 15 seconds.'),
    el('div', { class: 'toolbar' },
      session.may_act && el('button', { type: 'button', class: 'primary', id: 'peek', onclick: peek }, 'Look at up to 100'),
      session.may_act && el('button', { type: 'button', id: 'redrive-all', onclick: () => redrive({ all: true }, 'all dead letters') }, 'Redrive all…'),
      el('span', { class: 'note', id: 'dead-depth' }, depthText())),
    el('p', { id: 'dead-progress', class: 'verdict', role: 'status' }), list], 'peek');
  if (!session.may_act) list.append(el('div', { class: 'panel' }, el('p', { class: 'empty' }, 'Bodies may hold what is not for everybody. Log in to look.')));
  else render();
}

async function peek() {
  const button = byId('peek');
  if (!button) return; // whoever asked is somewhere else by now
  const focused = byId('dead').contains(document.activeElement);
  button.disabled = true;
  setText(button, 'Looking…');
  try {
    found = await post(at('dead/peek'));
    render();
  } catch (error) {
    toast(error.message);
  } finally {
    button.disabled = false;
    setText(button, 'Look at up to 100');
    // A button that is disabled, or gone with its letter, has lost the focus.
    if (focused && !byId('dead').contains(document.activeElement)) button.focus({ preventScroll: true });
  }
}

function render() {
  const list = byId('dead-list');
  if (!list) return;
  if (!found) {
    list.replaceChildren(el('div', { class: 'panel' }, el('p', { class: 'empty' }, 'Not looked at yet.')));
    return;
  }
  if (!found.seen) {
    redraw(list, [el('div', { class: 'panel' }, el('p', { class: 'empty' }, 'No dead letters. That is how it should be.'))]);
    return;
  }
  const open = new Set([...list.querySelectorAll('details[open]')].map((letter) => letter.id));
  redraw(list, [
    found.counted && el('p', { class: 'notice warn' }, 'This queue has a redrive policy of its own: every look brings its messages nearer to being moved on.'),
    found.unreleased > 0 && el('p', { class: 'notice warn' }, `${count(found.unreleased)} could not be made visible at once; they are back within 15 seconds.`),
    ...found.groups.map((g) => group(g, open)),
    found.more && el('p', { class: 'note' }, `These are the first ${count(found.seen)}; there may be more.`),
  ].filter(Boolean));
}

function group(g, open) {
  return el('div', { class: 'panel' },
    el('div', { class: 'panel-head' },
      el('h2', {}, g.reason), el('span', { class: 'note' }, `${count(g.count)} × · sent ${date(g.first)}${date(g.first) === date(g.last) ? '' : ` to ${date(g.last)}`}`),
      el('div', { class: 'right' }, el('button', { type: 'button', class: 'small', id: `group-${g.reason}`, onclick: () => redrive({ reason: g.reason }, `the group “${g.reason}”`) }, 'Redrive group…'))),
    g.messages.map((m) => letter(m, open)));
}

function letter(m, open) {
  const id = `letter-${m.id}`;
  return el('details', { class: 'letter', id, open: open.has(id) },
    el('summary', { id: `${id}-summary` }, el('span', { class: 'name', title: m.name }, short(m.name) || 'no name'),
      el('span', { class: 'note' }, [m.error || 'no error noted', m.attempts && `${m.attempts} ${m.attempts === '1' ? 'attempt' : 'attempts'}`].filter(Boolean).join(' · '))),
    el('div', { class: 'inside' },
      el('pre', { tabIndex: 0 }, m.body),
      el('div', { class: 'toolbar' },
        el('button', { type: 'button', class: 'small', onclick: () => redrive({ ids: [m.id] }, `“${m.name || m.id}”`) }, 'Redrive this one'),
        m.name && el('span', { class: 'small' }, nameLink(m.name)),
        el('span', { class: 'note' }, `${bytes(m.bytes)} · sent ${date(m.sent)} · received ${m.receives} × here · message ${m.id}${m.original_id ? `, was ${m.original_id}` : ''}`))));
}

async function redrive(selection, what) {
  if (busy) return;
  if (!selection.ids) {
    const yes = await ask({ title: 'Redrive?', yes: 'Redrive', text: `This sends ${what} back to ${queue.name}. A rejected name is tried again, with all its attempts; a completed one is not.` });
    if (!yes) return;
  }
  busy = true;
  const progress = byId('dead-progress');
  const start = performance.now();
  let last = null;
  try {
    await follow(at('dead/redrive'), selection, (step) => {
      last = step;
      setText(progress, `${count(step.moved)} sent back, ${count(step.seen)} looked at…`);
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

// outcome says how a redrive has ended.
function outcome(last, took) {
  if (!last) return 'It has ended without a word.';
  return [
    `${count(last.moved)} sent back in ${took}${last.done || last.more ? '' : ', then it ended early'}.`,
    last.doubly > 0 && `${count(last.doubly)} sent, but not deleted here.`,
    last.returned > 0 && `${count(last.returned)} given up again meanwhile and left here.`,
    last.refused > 0 && `${count(last.refused)} could not be sent.`,
    last.error,
    last.more && 'There may be more of them: redrive again.',
  ].filter(Boolean).join(' ');
}
