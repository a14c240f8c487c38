// The settings that the worker works with.

import { at, get } from './api.js';
import { byId, el } from './dom.js';

export async function showConfig() {
  const place = byId('config');
  try {
    const { settings } = await get(at('config'));
    if (!settings.length) {
      place.replaceChildren(el('div', { class: 'panel' }, el('p', { class: 'empty' }, 'The settings are not available.')));
      return;
    }
    place.replaceChildren(
      el('p', { class: 'lead' }, 'Effective settings, including defaults. Secrets are masked.'),
      el('div', { class: 'panel' }, el('div', { class: 'scroll', tabIndex: 0, role: 'region', 'aria-label': 'Settings' },
        el('table', { class: 'grid' },
          el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'Setting'), el('th', { scope: 'col' }, 'Value'))),
          el('tbody', {}, settings.map((s) => el('tr', {}, el('td', { class: 'mono' }, s.name), el('td', { class: 'wrap' }, s.value || '–'))))))));
  } catch (error) {
    place.replaceChildren(el('p', { class: 'notice bad', role: 'alert' }, error.message));
  }
}
