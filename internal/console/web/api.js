// The worker's JSON API.

export let session = { may_act: false };
// The queue that the page shows: the one that the address names, or the first of the process.
export let queue = { name: '' };
// at is the path of what is about that queue.
export const at = (path) => `/api/queues/${queue.name}/${path}`;

// Refused is an answer that is no 2xx, with what is wrong in words.
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function check(response) {
  if (response.ok) return response;
  let detail = response.statusText;
  try {
    detail = (await response.json()).detail ?? detail;
  } catch { /* not one of ours */ }
  // Who was allowed to may not be any more: the session has ended, or the worker
  // was replaced by one that knows nothing of it.
  if (response.status === 403) dispatchEvent(new Event('forbidden'));
  throw new Refused(response.status, detail || `status ${response.status}`);
}

export async function get(path, signal) {
  return (await check(await fetch(path, { cache: 'no-store', signal }))).json();
}

export async function loadSession() {
  session = await get('/api/session');
  const wanted = new URLSearchParams(location.search).get('queue');
  queue = session.queues.find((q) => q.name === wanted) ?? session.queues[0];
  return session;
}

function send(path, body) {
  return fetch(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-Csrf-Token': session.csrf ?? '' },
    body: JSON.stringify(body ?? {}),
  });
}

export async function post(path, body) {
  return (await check(await send(path, body))).json();
}

// follow posts and hands on every line of the answer as it comes.
export async function follow(path, body, onStep) {
  const response = await check(await send(path, body));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const line of lines) if (line) onStep(JSON.parse(line));
  }
}
