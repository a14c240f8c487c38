// The worker's JSON API.

export let session = { may_act: false };
// queue is the queue of the page: the one in the address, or the first of the process.
export let queue = { name: '' };
// at returns a path of the API of that queue.
export const at = (path) => `/api/queues/${queue.name}/${path}`;

// Refused is an answer without a 2xx status, with its error text.
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
  // A permission can end: the session has ended, or another worker has replaced this one.
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

// follow sends a POST and passes on each line of the answer when it arrives.
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
