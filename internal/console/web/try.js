// Only with --local: send a message, or the same one many times.

import { at, follow, post } from './api.js';
import { byId, el, setText, toast } from './dom.js';
import { count, seen, span } from './format.js';
import { nameLink } from './tables.js';

export function showTry() {
  const place = byId('try');
  if (place.childElementCount) return;
  place.append(
    el('p', { class: 'lead' }, 'This process has its own queue, with the semantics of SQS, and its own store. All data is lost when it stops.'),
    el('div', { class: 'forms' }, replayPanel(), sendPanel()));
}

function field(id, label, props, hint) {
  return el('div', { class: 'field' }, el('label', { for: id }, label),
    el(props.tag ?? 'input', { id, ...props, tag: undefined }), hint && el('span', { class: 'note' }, hint));
}

function replayPanel() {
  const score = {};
  const big = (key, label, hero) => el('div', { class: hero ? 'hero' : '' }, el('dt', {}, label), score[key] = el('dd', { id: `replay-${key}` }, '0'));
  const ran = el('i');
  const kept = el('i', { class: 'kept' });
  const verdict = el('p', { class: 'verdict', id: 'replay-verdict', role: 'status' });
  const button = el('button', { type: 'submit', class: 'primary', id: 'replay-go' }, 'Replay duplicates');
  const form = el('form', { id: 'replay', onsubmit: (event) => { event.preventDefault(); go(); } },
    el('div', { class: 'field' }, el('label', { for: 'replay-name' }, 'Name'),
      el('input', { id: 'replay-name', value: freshName(), maxLength: 1024, required: true, spellcheck: 'false' })),
    el('div', { class: 'fields' },
      field('replay-count', 'Messages', { type: 'number', min: 1, max: 10000, value: 500, required: true }),
      field('replay-concurrency', 'Senders at a time', { type: 'number', min: 1, max: 64, value: 16, required: true })),
    button);
  return el('div', { class: 'panel pad' }, el('h2', {}, 'Replay duplicates'),
    el('p', { class: 'lead' }, 'Sends the same message many times at once. One delivery is handled; the others get the recorded answer.'),
    form,
    el('dl', { class: 'score' }, big('accepted', 'Accepted'), big('handled', 'Handled', true), big('suppressed', 'Suppressed'), big('open', 'Open')),
    el('div', { class: 'meter', 'aria-hidden': 'true' }, ran, kept), verdict);

  async function go() {
    const name = byId('replay-name').value;
    const messages = Number(byId('replay-count').value);
    button.disabled = true;
    verdict.replaceChildren('Sending…');
    try {
      let last;
      await follow(at('replay'), { name, count: messages, concurrency: Number(byId('replay-concurrency').value) }, (step) => {
        last = step;
        for (const key of Object.keys(score)) setText(score[key], count(step[key]));
        ran.style.inlineSize = `${(100 * step.handled) / messages}%`;
        kept.style.inlineSize = `${(100 * step.suppressed) / messages}%`;
      });
      verdict.replaceChildren(...outcome(last, name));
    } catch (error) {
      verdict.replaceChildren(seen(error.message));
    } finally {
      button.disabled = false;
      if (document.activeElement === document.body) button.focus({ preventScroll: true }); // lost when it was disabled
      if (byId('replay-name').value === name) byId('replay-name').value = freshName();
    }
  }
}

// outcome describes the result of a replay.
function outcome(step, name) {
  if (!step || step.error) return [`Ended early: ${step?.error ?? 'the connection broke'}`];
  const parts = [`${count(step.accepted)} accepted in ${span(step.seconds)}: ${count(step.handled)} handled, ${count(step.suppressed)} suppressed`];
  if (step.deferred) parts.push(`, ${count(step.deferred)} deferrals`);
  if (step.failed) parts.push(`, ${count(step.failed)} tries failed`);
  if (step.dead_lettered) parts.push(`, ${count(step.dead_lettered)} became dead letters`);
  return [`${parts.join('')}. `, step.handled === 0 && step.suppressed > 0 ? 'The name was completed before. ' : '', 'The story of ', nameLink(name)];
}

// freshName returns a name that is most likely unused.
function freshName() {
  return `order-${1000 + Math.floor(Math.random() * 9000)}`;
}

function sendPanel() {
  const result = el('p', { class: 'verdict', id: 'send-result', role: 'status' });
  const form = el('form', { id: 'send', onsubmit: async (event) => {
    event.preventDefault();
    const name = byId('send-name').value;
    try {
      const done = await post(at('send'), { name, body: byId('send-body').value });
      result.replaceChildren(`Accepted as message ${done.message_id.slice(0, 8)}. The story of `, nameLink(name));
    } catch (error) {
      toast(error.message);
      result.replaceChildren(seen(error.message));
    }
  } },
  el('div', { class: 'field' }, el('label', { for: 'send-name' }, 'Name'),
    el('input', { id: 'send-name', maxLength: 1024, required: true, spellcheck: 'false', placeholder: 'order-17' })),
  el('div', { class: 'field' }, el('label', { for: 'send-body' }, 'Body'),
    el('textarea', { id: 'send-body', spellcheck: 'false', placeholder: '{"name": "order-17", "total": 42}' }),
    el('span', { class: 'note' }, 'Empty: only the name. The same name with another body is a mismatch and becomes a dead letter.')),
  el('button', { type: 'submit', class: 'primary', id: 'send-go' }, 'Send'));
  return el('div', { class: 'panel pad' }, el('h2', {}, 'Send a message'),
    el('p', { class: 'lead' }, 'Sends one message to the queue, like any SQS client.'), form, result);
}
