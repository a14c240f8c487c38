// Everything that is shown is put together here, from text and elements only:
// what comes from outside never becomes markup.

import { seen } from './format.js';

const svgNamespace = 'http://www.w3.org/2000/svg';

// el makes an element. props are properties, or attributes where the name has a
// dash or is in the list; children are elements and texts.
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

// shown is a child as it is shown: of text, what cannot be seen is written out. Our own
// text that quotes another one has its marks already.
const shown = (child) => (typeof child === 'string' ? mark(child) : child);

const mark = (text) => text.split(/([\u2068\u2069])/).map((part) => (/[\u2068\u2069]/.test(part) ? part : seen(part))).join('');

export const byId = (id) => document.getElementById(id);

// setText touches the document only when something changes.
export function setText(node, plain) {
  const text = mark(plain);
  if (node.textContent !== text) node.textContent = text;
}

export function setData(node, name, value) {
  if (node.dataset[name] !== value) node.dataset[name] = value;
}

// rows keeps one child of parent for each item, and reuses it, so that focus,
// selection and scroll position stay where they are.
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
  // What is over goes first: the others then mostly stand right already, and
  // what need not move cannot lose anything by it.
  for (const [key, node] of old) if (!kept.has(key)) drop(parent, node);
  let at = parent.firstElementChild;
  for (const node of kept.values()) {
    if (node === at) at = at.nextElementSibling;
    else move(parent, node, at);
  }
  parent.kept = kept;
}

// move puts node before another one. A plain insertBefore takes a node that is
// there already out for a moment, and with that the focus from what is in it.
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

// drop removes node. A focus in it goes to the list that can be scrolled, so
// that the keyboard goes on from there.
function drop(parent, node) {
  const focused = node.contains(document.activeElement);
  node.remove();
  if (focused) parent.closest('.scroll')?.focus({ preventScroll: true });
}

// redraw gives place new content. A focus in it stays with the element of the
// same id; where that is gone it goes to what instead names, or to the page's
// main part, so that the keyboard does not start again at the top.
export function redraw(place, nodes, instead) {
  const focused = place.contains(document.activeElement) ? document.activeElement : null;
  place.replaceChildren(...nodes);
  if (focused) (byId(focused.id) ?? byId(instead) ?? byId('main')).focus({ preventScroll: true });
}

// toast tells of what was done, also to screen readers.
let toastTimer;
export function toast(text) {
  const node = byId('toast');
  node.textContent = mark(text);
  node.classList.add('on');
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => node.classList.remove('on'), 4000);
}

// ask shows a question and resolves to whether the answer is yes.
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
    // By the Escape key. The event comes some time after the closing: while this
    // question is shown, it is about the one before.
    dialog.addEventListener('close', () => { if (!dialog.open) end(false); }, { signal });
    dialog.showModal();
  });
}
