// The stream of events. It reconnects after a break, and is closed while the page is hidden. If there
// is no stream, because a proxy buffers or blocks it or too many pages are open, the page requests its
// status every few seconds instead.

import { at, get } from './api.js';

const silence = 10_000; // ms without an event after which the connection counts as dead
const patience = 4_000; // ms without an event after which the page asks
const askEvery = 5_000; // ms between two questions
const longestAnswer = 10_000; // ms
const longestWait = 15_000; // ms between two tries of the stream

// refusal returns why a reachable worker refuses the stream, or "". An EventSource does not report it.
async function refusal() {
  const stop = new AbortController();
  try {
    const response = await fetch(at('stream'), { cache: 'no-store', signal: stop.signal });
    return response.ok ? '' : (await response.json()).detail ?? '';
  } catch {
    return '';
  } finally {
    stop.abort(); // were it a stream now, it would go on for ever
  }
}

// live calls handlers[section](data) for each changed section. It calls onLink with "live", "asking"
// and the reason for no stream, "reconnecting", "refused" and the reason, or "paused".
export function live(handlers, onLink) {
  let source = null;
  let failures = 0;
  let timer = 0;
  let began = 0; // when the page was last shown
  let opened = 0; // when the stream was last asked for
  let heard = 0; // the last event
  let asked = 0; // the last question
  let why = ''; // the worker's reason to give no stream
  let link = '';

  function tell(state, reason) {
    link = state;
    onLink(state, reason);
  }

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  function again() {
    const refused = source?.readyState === EventSource.CLOSED; // the answer was no stream
    close();
    if (refused) {
      refusal().then((reason) => {
        why = reason;
        if (link !== 'asking') ask();
      });
    } else if (link !== 'asking') {
      tell('reconnecting');
    }
    const wait = Math.min(longestWait, 500 * 2 ** failures++) * (0.5 + Math.random() / 2);
    timer = setTimeout(open, wait);
  }

  function hear(handler, event) {
    if (link !== 'live') tell('live');
    failures = 0;
    why = '';
    heard = Date.now();
    handler(JSON.parse(event.data));
  }

  function open() {
    close();
    if (document.hidden) return;
    opened = Date.now();
    source = new EventSource(at('stream'));
    source.onerror = () => again();
    for (const [section, handler] of Object.entries(handlers)) {
      source.addEventListener(section, (event) => hear(handler, event));
    }
  }

  // ask shows one answer, unless the stream has reconnected.
  async function ask() {
    if (document.hidden) return;
    const start = asked = Date.now();
    const late = () => document.hidden || heard >= start || asked !== start;
    try {
      const all = await get(at('status'), AbortSignal.timeout(longestAnswer));
      if (late()) return;
      for (const [section, handler] of Object.entries(handlers)) handler(all[section]);
      tell('asking', why);
    } catch (error) {
      if (late()) return;
      tell(error.status ? 'refused' : 'reconnecting', error.message);
    }
  }

  function show() {
    began = Date.now();
    open();
  }

  setInterval(() => {
    const now = Date.now();
    if (source && now - Math.max(opened, heard) > silence) again();
    if (now - Math.max(began, heard) > patience && now - asked > askEvery) ask();
  }, 1000);
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) {
      close();
      tell('paused');
    } else {
      show();
    }
  });
  addEventListener('pagehide', close);
  addEventListener('pageshow', (event) => { if (event.persisted) show(); });
  show();
}
