// The states of a name and its transitions.

import { svg } from './dom.js';

const size = { w: 128, h: 34 };
const nodes = {
  NEW: { x: 62, y: 60, label: 'not seen', w: 92 },
  IN_PROGRESS: { x: 262, y: 60, label: 'in progress' },
  RETRYING: { x: 262, y: 190, label: 'retrying' },
  COMPLETED: { x: 498, y: 60, label: 'completed' },
  REJECTED: { x: 498, y: 125, label: 'rejected', tone: 'bad' },
  UNKNOWN: { x: 498, y: 190, label: 'unknown', tone: 'warn' },
};

// Each edge: its line and the position of its count.
const edges = {
  'NEW>IN_PROGRESS': { d: 'M108 60H194', at: [149, 47] },
  'IN_PROGRESS>COMPLETED': { d: 'M326 60H430', at: [378, 47] },
  'IN_PROGRESS>REJECTED': { d: 'M326 68C380 72 380 122 430 125', at: [396, 92] },
  'IN_PROGRESS>UNKNOWN': { d: 'M316 77C350 112 366 184 430 190', at: [384, 152] },
  'IN_PROGRESS>RETRYING': { d: 'M242 77C230 108 230 142 241 169', at: [216, 125] },
  'RETRYING>IN_PROGRESS': { d: 'M282 173C294 142 294 108 283 81', at: [308, 125] },
  'REJECTED>IN_PROGRESS': { d: 'M498 108C498 12 300 6 272 39', at: [392, 12], rare: true },
  'UNKNOWN>COMPLETED': { d: 'M562 190C596 170 596 80 566 62', at: [602, 125], rare: true },
};

// diagram draws the states. path holds the transitions with their counts, and status the current
// state.
export function diagram(path, status) {
  const taken = new Map(path.map((s) => [`${s.from}>${s.to}`, s.times]));
  const been = new Set(path.flatMap((s) => [s.from, s.to]));
  const words = path.map((s) => `${label(s.from)} to ${label(s.to)}${s.times > 1 ? `, ${s.times} times` : ''}`).join('; ');
  const root = svg('svg', { class: 'diagram', viewBox: '0 0 620 226', role: 'img', 'aria-label': words ? `Path: ${words}` : 'States of a name' });
  root.append(svg('defs', {}, marker('head'), marker('head-taken', 'taken')));
  for (const [key, edge] of Object.entries(edges)) {
    const times = taken.get(key);
    if (edge.rare && !times) continue;
    root.append(svg('path', { class: times ? 'edge taken' : 'edge', d: edge.d, 'marker-end': times ? 'url(#head-taken)' : 'url(#head)' }));
    if (times > 1) root.append(svg('text', { class: 'times', x: edge.at[0], y: edge.at[1] }, `${times} ×`));
  }
  for (const [key, n] of Object.entries(nodes)) {
    const w = n.w ?? size.w;
    const classes = ['node', been.has(key) && 'been', key === status && 'here', n.tone].filter(Boolean).join(' ');
    root.append(svg('g', { class: classes },
      svg('rect', { x: n.x - w / 2, y: n.y - size.h / 2, width: w, height: size.h, rx: 9 }),
      svg('text', { x: n.x, y: n.y }, n.label)));
  }
  return root;
}

const label = (status) => nodes[status]?.label ?? status.toLowerCase();

function marker(id, extra = '') {
  return svg('marker', { id, viewBox: '0 0 8 8', refX: 6.5, refY: 4, markerWidth: 8, markerHeight: 8, orient: 'auto', markerUnits: 'userSpaceOnUse' },
    svg('path', { class: `head ${extra}`, d: 'M0 0L8 4L0 8Z' }));
}
