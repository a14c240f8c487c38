// Links to the queues of the process, if there are several.

import { get, queue } from './api.js';
import { byId, el, rows, setData, setText } from './dom.js';
import { seen } from './format.js';

const every = 5000; // ms

// said returns the state of a queue in one or two words.
const said = (q) => (q.down?.length ? `${q.state}, down: ${q.down.join(', ')}` : q.why ? `${q.state}: ${q.why}` : q.state);

// tone returns the colour of a queue; quiet without a problem.
const tone = (q) => (q.state === 'running' && !q.down?.length ? 'none' : 'bad');

function show(queues) {
  byId('queues').hidden = queues.length < 2;
  rows(byId('queues'), queues, (q) => q.name,
    (q) => el('a', {}, q.name, ' ', el('span', { class: 'count' })),
    (node, q) => {
      if (q.state === 'starting') node.removeAttribute('href'); // there is nothing to see yet
      else node.href = `/?queue=${encodeURIComponent(q.name)}`;
      if (q.name === queue.name) node.setAttribute('aria-current', 'page');
      setText(node.lastChild, q.state === 'running' ? `${q.running}/${q.slots}` : q.state);
      setData(node.lastChild, 'tone', tone(q));
      node.title = seen(said(q));
    });
}

// watchQueues updates the states of the queues, if there are several.
export async function watchQueues() {
  for (;;) {
    try {
      if (!document.hidden) {
        const { queues } = await get('/api/queues');
        show(queues);
        if (queues.length < 2) return;
      }
    } catch { /* the page says elsewhere that the worker cannot be reached */ }
    await new Promise((resolve) => { setTimeout(resolve, every); });
  }
}
