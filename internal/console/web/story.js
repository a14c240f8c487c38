// The record and the events of a name.

import { at, get, post, queue, session } from './api.js';
import { diagram } from './diagram.js';
import { ask, byId, el, redraw, toast } from './dom.js';
import { bytes, date, ms, quoted, span, time } from './format.js';
import { agreeAndSettle } from './names.js';
import { badge, toneOf } from './tables.js';

let shown = '';

export async function showStory(name) {
  const place = byId('story');
  shown = name;
  if (!name) {
    place.replaceChildren(el('div', { class: 'panel' }, el('p', { class: 'empty' },
      'Enter a name in the field above to see its record, its transitions, and its events in this worker.')));
    return;
  }
  byId('lookup-name').value = name;
  try {
    const story = await get(at(`names?name=${encodeURIComponent(name)}`));
    if (shown === name) redraw(place, pieces(story), 'refresh');
  } catch (error) {
    if (shown === name) redraw(place, [el('p', { class: 'notice bad', role: 'alert' }, error.message)]);
  }
}

const tone = { COMPLETED: 'good', IN_PROGRESS: 'info', RETRYING: 'warn', REJECTED: 'bad', UNKNOWN: 'warn' };

function pieces(story) {
  const { record } = story;
  const status = record?.status ?? 'NEW';
  const settleable = record && session.may_act && queue.settle;
  const title = el('div', { class: 'story-title' },
    el('p', { class: 'big mono' }, story.name),
    badge(record ? status.toLowerCase().replace('_', ' ') : 'no record', tone[status] ?? ''),
    el('div', { class: 'right' },
      el('button', { type: 'button', class: 'small', id: 'refresh', onclick: () => showStory(story.name) }, 'Refresh'),
      settleable && (status === 'UNKNOWN' || record.lapsed) && el('button', { type: 'button', class: 'small', id: 'story-completed', onclick: () => settle(story, 'completed') }, 'Completed…'),
      settleable && (['UNKNOWN', 'REJECTED'].includes(status) || record.lapsed) && el('button', { type: 'button', class: 'small', id: 'story-retry', onclick: () => settle(story, 'retry') }, 'Retry…'),
      record && session.may_act && el('button', { type: 'button', class: 'small danger', id: 'forget', onclick: () => forget(story) }, 'Forget…')));
  const left = el('div', {},
    el('div', { class: 'panel' }, el('div', { class: 'panel-head' }, el('h2', {}, 'Transitions'),
      el('span', { class: 'note' }, record ? 'as far as its record shows' : 'no record: never seen, expired, or forgotten')),
    diagram(story.path, status)),
    el('div', { class: 'panel' }, el('div', { class: 'panel-head' }, el('h2', {}, 'Events in this worker'), el('span', { class: 'note' }, 'of its last thousand events')),
      story.events.length ? trail(story.events) : el('p', { class: 'empty' }, 'No recent events here. Other workers may have some.')));
  const right = el('div', { class: 'panel' }, el('div', { class: 'panel-head' }, el('h2', {}, 'Record')),
    record ? sheet(record, story.now) : el('p', { class: 'empty' }, 'The name has no record. A message of this name would run.'));
  return [title, el('div', { class: 'story' }, left, right)];
}

function trail(events) {
  return el('ol', { class: 'trail' }, events.toReversed().map((e) => el('li', {},
    el('time', {}, time(e.at)),
    el('span', {}, badge(e.kind, toneOf(e.kind)), ' ', el('span', { class: 'detail' }, [
      e.attempt && `attempt ${e.attempt}`, e.fence && `fence ${e.fence}`, e.took_ms && ms(e.took_ms), e.detail && quoted(e.detail),
    ].filter(Boolean).join(' · '))))));
}

function sheet(r, now) {
  const list = el('dl', { class: 'sheet' });
  const row = (label, ...value) => list.append(el('dt', {}, label), el('dd', {}, ...value));
  const when = (at) => `${date(at)} (${at > now ? `in ${span((at - now) / 1000)}` : `${span((now - at) / 1000)} ago`})`;
  row('Status', r.status, r.final ? ', final' : '');
  row('Attempts', String(r.attempts));
  if (r.status === 'IN_PROGRESS') row('Held by', r.held_here ? 'this worker' : 'another worker, which may have ended');
  if (r.lease_until) row('Lease ends', when(r.lease_until));
  row('Fence', el('span', { class: 'mono' }, r.fence));
  if (r.created_at) row('First claim', when(r.created_at));
  if (r.completed_at) row('Completed', when(r.completed_at));
  if (r.expires_at) row('Remembered until', when(r.expires_at));
  if (r.message_id) row('Message', el('span', { class: 'mono' }, r.message_id));
  if (r.verb) row('Last verb', `${r.verb} by ${r.verb_by}, ${date(r.verb_at)}`);
  if (r.reopened_by) row('Redriven by', el('span', { class: 'mono' }, r.reopened_by));
  if (r.error) row('Last failure', el('pre', { tabIndex: 0 }, r.error));
  if (r.result_size) {
    row(`Result${r.result_type ? `, ${r.result_type}` : ''}`, el('pre', { tabIndex: 0 }, r.result || `${bytes(r.result_size)} that are not text`));
  }
  if (r.fingerprint) row('Fingerprint', el('span', { class: 'mono' }, `${r.fingerprint.slice(10, 26)}…`));
  row('Version', el('span', { class: 'mono' }, r.version));
  return list;
}

async function settle(story, verb) {
  try {
    const done = await agreeAndSettle(verb, [story.name]);
    if (done) toast(done);
  } catch (error) {
    toast(error.message);
  }
  showStory(story.name);
}

async function forget(story) {
  const live = story.record.status === 'IN_PROGRESS' && story.record.lease_until > story.now;
  const yes = await ask({
    title: `Forget “${quoted(story.name)}”?`, danger: true, yes: live ? 'Cancel its attempt and forget' : 'Forget',
    text: live
      ? 'An attempt is under way. It is cancelled, its outcome is not recorded, and the next message of this name runs again.'
      : 'Its outcome is lost, and the next message of this name runs again. Workers may answer from their caches for a while.',
  });
  if (!yes) return;
  try {
    const done = await post(at('forget'), { name: story.name, force: live });
    toast(`Forgotten; in every worker by ${time(done.effective_at)}.`);
  } catch (error) {
    toast(error.message);
  }
  showStory(story.name);
}
