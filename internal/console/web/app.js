// The page: its visitor, its sections, and incoming data.

import { at, get, loadSession, post, queue, session } from './api.js';
import { setDepth, showDead } from './dead.js';
import { ask, byId, el, rows, setData, setText, toast } from './dom.js';
import { count, quoted, seen, span } from './format.js';
import { live } from './live.js';
import { showNames } from './names.js';
import { watchQueues } from './queues.js';
import { showConfig } from './settings.js';
import { showStory } from './story.js';
import { setFailures, setFlights, setOutcomes, showFlights } from './tables.js';
import { addPoints, setFigures, setHistory, startTiles } from './tiles.js';
import { showTry } from './try.js';
import { showWorkers } from './workers.js';

const views = { overview: () => {}, names: showNames, workers: showWorkers, name: showStory, dead: showDead, try: showTry, config: showConfig };

// route shows the section in the address: #/, #/name/order-17, #/dead ...
function route() {
  const [, view = '', rest = ''] = /^#\/([a-z]*)\/?(.*)$/s.exec(location.hash) ?? [];
  const home = queue.pool ? 'overview' : 'names';
  const wanted = Object.hasOwn(views, view) && (view !== 'overview' || queue.pool) ? view : home;
  for (const key of Object.keys(views)) byId(`view-${key}`).hidden = key !== wanted;
  for (const link of document.querySelectorAll('#sections a')) {
    if (link.dataset.view === wanted) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  let name = '';
  try {
    name = decodeURIComponent(rest);
  } catch { /* no name can be read from it */ }
  document.title = `${wanted === 'name' && name ? seen(name) : byId(`h-${wanted}`).textContent} · sqsonce`;
  if (session.closed && !session.may_act) {
    if (!byId('login-dialog').open) byId('login-dialog').showModal();
    return;
  }
  views[wanted](name);
}

function setStatus(status) {
  setText(byId('state'), status.state);
  setData(byId('state'), 'state', status.state);
  const trouble = byId('trouble');
  const down = status.down ?? [];
  const reasons = [];
  if (down.length) reasons.push(`Down: ${down.join(', ')}. Messages wait without counting attempts, and a few are tried as probes.`);
  if (status.suspicion) reasons.push(`The target is suspect: several messages in a row have failed alike (${quoted(status.suspicion)}). If its answers are correct: POST /believe?queue=${queue.name}.`);
  if (status.queue.error) reasons.push(`The depth of the queue is unknown: ${status.queue.error}`);
  trouble.hidden = reasons.length === 0;
  setText(trouble, reasons.join(' '));
  const facts = [
    ['Queue', queue.name], ['Table', queue.table], ['Version', session.version], ['Task', session.task_id],
    ['Scale-in protection', status.protection || (session.task_id && 'off')], ['Up', span((status.now - session.started) / 1000)],
  ].filter(([, value]) => value);
  rows(byId('facts'), facts, ([label]) => label,
    ([label]) => el('div', {}, el('dt', {}, label), el('dd')),
    (node, [, value]) => setText(node.lastChild, String(value)));
  if (session.ends && status.now >= session.ends) {
    session.ends = 0; // asked once
    refreshVisitor().catch(() => {});
  }
  if (session.may_act) {
    showButtons({
      pause: ['running', 'held'].includes(status.state), resume: status.state === 'paused',
      drain: session.drain && !['draining', 'stopped'].includes(status.state),
    });
  }
  setFigures(status);
  showFlights(status);
  setDepth(status.queue.dead);
}

// counterparts are the buttons that replace each other.
const counterparts = { pause: 'resume', resume: 'pause', login: 'logout', logout: 'login' };

// showButtons shows or hides buttons of the header. The focus moves from a hidden button to its
// counterpart, or to another visible one.
function showButtons(wanted) {
  const focused = document.activeElement;
  for (const [id, on] of Object.entries(wanted)) byId(id).hidden = !on;
  if (!focused.hidden || !focused.closest('.actions')) return;
  const next = [byId(counterparts[focused.id]), ...document.querySelectorAll('.actions button'), byId('main')];
  next.find((node) => node && !node.hidden).focus({ preventScroll: true });
}

function setLink(state, why) {
  setText(byId('link'), {
    live: '', paused: 'paused', refused: `${why}; trying again…`, asking: `updated every 5 s: ${why || 'no live stream'}`,
  }[state] ?? 'reconnecting…');
  const shown = { reconnecting: 'unreachable', refused: 'not live' }[state];
  if (shown) {
    setText(byId('state'), shown);
    setData(byId('state'), 'state', state === 'refused' ? 'refused' : 'unreachable');
  }
}

function setVisitor() {
  byId('readonly').hidden = session.may_act;
  showButtons({
    login: !session.may_act && session.can_login, logout: session.logged_in,
    ...(session.may_act ? {} : { pause: false, resume: false, drain: false }),
  });
  document.querySelector('#sections [data-view=overview]').hidden = !queue.pool;
  document.querySelector('#sections [data-view=names]').hidden = !queue.listed;
  document.querySelector('#sections [data-view=workers]').hidden = !queue.workers;
  document.querySelector('#sections [data-view=dead]').hidden = !queue.dlq;
  document.querySelector('#sections [data-view=try]').hidden = !(queue.local && session.may_act);
}

async function act(path, said) {
  try {
    await post(path);
    toast(said);
  } catch (error) {
    toast(error.message);
  }
}

function startControls() {
  byId('lookup').addEventListener('submit', (event) => {
    event.preventDefault();
    const hash = `#/name/${encodeURIComponent(byId('lookup-name').value)}`;
    if (location.hash === hash) route();
    else location.hash = hash;
  });
  byId('pause').addEventListener('click', () => act(at('pause'), 'Paused: no messages are received; handlers under way continue.'));
  byId('resume').addEventListener('click', () => act(at('resume'), 'Receiving again.'));
  byId('drain').addEventListener('click', async () => {
    const yes = await ask({ title: 'Drain this worker?', danger: true, yes: 'Drain and end',
      text: 'It stops receiving, finishes its messages within its drain timeout, and ends. Its platform decides whether to start it again.' });
    if (yes) act('/api/drain', 'Draining.');
  });
  const dialog = byId('login-dialog');
  byId('login').addEventListener('click', () => { setText(byId('login-error'), ''); dialog.showModal(); });
  byId('login-cancel').addEventListener('click', () => dialog.close());
  byId('login-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const field = byId('login-token');
    try {
      await post('/api/login', { token: field.value });
      dialog.close();
      await refreshVisitor();
      toast('Logged in.');
    } catch (error) {
      setText(byId('login-error'), error.message);
      field.select();
    } finally {
      field.value = '';
    }
  });
  byId('logout').addEventListener('click', async () => {
    await act('/api/logout', 'Logged out.');
    await refreshVisitor();
  });
  addEventListener('forbidden', () => { refreshVisitor().catch(() => {}); });
  addEventListener('hashchange', () => { route(); byId('main').focus({ preventScroll: true }); });
}

// watchDepth updates the header if there is no worker to stream from.
async function watchDepth() {
  for (;;) {
    try {
      if (!document.hidden && session.may_act) {
        const { status } = await get(at('status'));
        setText(byId('state'), 'console');
        setData(byId('state'), 'state', 'running');
        setLink('live');
        const facts = [
          ['Queue', queue.name], ['Table', queue.table], ['Version', session.version], ['Waiting', count(status.queue.visible)],
          ['In flight', count(status.queue.in_flight)], ['Delayed', count(status.queue.delayed)], ['Trouble', status.queue.error],
        ].filter(([, value]) => value);
        rows(byId('facts'), facts, ([label]) => label,
          ([label]) => el('div', {}, el('dt', {}, label), el('dd')),
          (node, [, value]) => setText(node.lastChild, String(value)));
        setDepth(status.queue.dead);
      }
    } catch (error) {
      setLink(error.status ? 'refused' : 'reconnecting', error.message);
    }
    await new Promise((resolve) => { setTimeout(resolve, 5000); });
  }
}

async function refreshVisitor() {
  await loadSession();
  setVisitor();
  route();
}

async function start() {
  startTiles();
  startControls();
  for (let wait = 500; ; wait = Math.min(wait * 2, 15_000)) {
    try {
      await refreshVisitor();
      break;
    } catch {
      setLink('reconnecting');
      await new Promise((resolve) => { setTimeout(resolve, wait); });
    }
  }
  watchQueues();
  if (!queue.pool) {
    watchDepth();
    return;
  }
  let before = '';
  live({
    history: setHistory, points: addPoints, status: setStatus, flights: setFlights, outcomes: setOutcomes, failures: setFailures,
  }, (state, why) => {
    setLink(state, why);
    // Another worker has another secret, so the page requests the session again.
    if (state !== before && ['live', 'asking'].includes(state)) loadSession().then(setVisitor).catch(() => {});
    before = state;
  });
}

start();
