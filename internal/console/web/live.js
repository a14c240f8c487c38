// The stream of what is happening. It comes back by itself after a break, and
// is closed while nobody can see the page.

import { at } from './api.js';

const silence = 10_000; // ms without an event after which the connection counts as dead
const longestWait = 15_000;

// refusal returns why a worker that can be reached gives no stream, or "" when
// that is not so: an EventSource does not tell.
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

// live calls handlers[section](data) for each section that has changed, and
// onLink with "live", "reconnecting", "refused" and why, or "paused".
export function live(handlers, onLink) {
  let source = null;
  let failures = 0;
  let timer = 0;
  let heard = 0;

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  function again() {
    const answered = source?.readyState === EventSource.CLOSED; // with something else than a stream
    close();
    if (answered) {
      refusal().then((why) => {
        if (!document.hidden && source?.readyState !== EventSource.OPEN) onLink(why ? 'refused' : 'reconnecting', why);
      });
    } else {
      onLink('reconnecting');
    }
    const wait = Math.min(longestWait, 500 * 2 ** failures++) * (0.5 + Math.random() / 2);
    timer = setTimeout(open, wait);
  }

  function open() {
    close();
    if (document.hidden) return;
    heard = Date.now();
    source = new EventSource(at('stream'));
    source.onopen = () => { failures = 0; heard = Date.now(); onLink('live'); };
    source.onerror = () => again();
    for (const [section, handler] of Object.entries(handlers)) {
      source.addEventListener(section, (event) => {
        heard = Date.now();
        handler(JSON.parse(event.data));
      });
    }
  }

  setInterval(() => { if (source && Date.now() - heard > silence) again(); }, 2000);
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) {
      close();
      onLink('paused');
    } else {
      open();
    }
  });
  addEventListener('pagehide', close);
  addEventListener('pageshow', (event) => { if (event.persisted) open(); });
  open();
}
