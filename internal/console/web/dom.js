// All visible content is built here, from text and elements: text from outside never becomes markup.

import { seen } from './format.js';

const svgNamespace = 'http://www.w3.org/2000/svg';

// el creates an element. props are properties; they are attributes if the name has a dash or is in the
// list. children are elements and texts.
export function el(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

export function svg(tag, props = {}, ...children) {
  const node = document.createElementNS(svgNamespace, tag);
  for (const [name, value] of Object.entries(props)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'class') node.className = value;
    else if (name.includes('-') || ['for', 'role', 'scope', 'colspan', 'spellcheck'].includes(name)) node.setAttribute(name, value);
    else node[name] = name === 'title' ? mark(value) : value;
  }
  node.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false).map(shown));
  return node;
}

// shown returns a child to display: invisible characters of a text are written out. Text that quotes
// another one with quoted has its marks already.
const shown = (child) => (typeof child === 'string' ? mark(child) : child);

const mark = (text) => text.split(/([\u2068\u2069])/).map((part) => (/[\u2068\u2069]/.test(part) ? part : seen(part))).join('');

export const byId = (id) => document.getElementById(id);

// setText changes the document only if the text differs.
export function setText(node, plain) {
  const text = mark(plain);
  if (node.textContent !== text) node.textContent = text;
}

export function setData(node, name, value) {
  if (node.dataset[name] !== value) node.dataset[name] = value;
}

// rows keeps one child of parent for each item and reuses it, which preserves focus, selection and
// scroll position.
export function rows(parent, items, keyOf, make, update) {
  const old = parent.kept ?? new Map();
  const kept = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (kept.has(key)) continue;
    const node = old.get(key) ?? make(item);
    kept.set(key, node);
    update(node, item);
  }
  // Remove old rows first. The others are then mostly in place, and a row that does not move keeps its
  // focus.
  for (const [key, node] of old) if (!kept.has(key)) drop(parent, node);
  let at = parent.firstElementChild;
  for (const node of kept.values()) {
    if (node === at) at = at.nextElementSibling;
    else move(parent, node, at);
  }
  parent.kept = kept;
}

// move moves node before another one. A plain insertBefore would remove the node for a moment, and
// with that the focus in it.
function move(parent, node, before) {
  if (!node.isConnected) {
    parent.insertBefore(node, before);
  } else if (parent.moveBefore) {
    parent.moveBefore(node, before);
  } else {
    const focused = node.contains(document.activeElement) ? document.activeElement : null;
    parent.insertBefore(node, before);
    focused?.focus({ preventScroll: true });
  }
}

// drop removes node. A focus in it moves to the scrollable list, so that the keyboard continues there.
function drop(parent, node) {
  const focused = node.contains(document.activeElement);
  node.remove();
  if (focused) parent.closest('.scroll')?.focus({ preventScroll: true });
}

// redraw replaces the content of place. A focus in it stays with the element of the same id. If that
// is gone, it moves to instead, or to the main part, so that the keyboard does not restart at the top.
export function redraw(place, nodes, instead) {
  const focused = place.contains(document.activeElement) ? document.activeElement : null;
  place.replaceChildren(...nodes);
  if (focused) (byId(focused.id) ?? byId(instead) ?? byId('main')).focus({ preventScroll: true });
}

// toast shows the result of an action, also to screen readers.
let toastTimer;
export function toast(text) {
  const node = byId('toast');
  node.textContent = mark(text);
  node.classList.add('on');
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => node.classList.remove('on'), 4000);
}

// ask shows a question, and resolves to true if the answer is yes.
export function ask({ title, text, yes, danger }) {
  const dialog = byId('ask');
  byId('ask-title').textContent = mark(title);
  byId('ask-text').textContent = mark(text);
  const ok = byId('ask-yes');
  ok.textContent = yes;
  ok.classList.toggle('danger', Boolean(danger));
  return new Promise((resolve) => {
    const done = new AbortController();
    const { signal } = done;
    const end = (answer) => { done.abort(); resolve(answer); };
    ok.addEventListener('click', () => { dialog.close(); end(true); }, { signal });
    byId('ask-no').addEventListener('click', () => { dialog.close(); end(false); }, { signal });
    // By the Escape key. The event follows the closing with a delay: while this question is shown, it
    // belongs to the previous one.
    dialog.addEventListener('close', () => { if (!dialog.open) end(false); }, { signal });
    dialog.showModal();
  });
}
