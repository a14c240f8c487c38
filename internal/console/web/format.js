// Formats of numbers and times. A dash means unknown.

export const unknown = '–';

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export function count(n) {
  if (n === null || n === undefined) return unknown;
  if (Math.abs(n) >= 1e6) return `${(n / 1e6).toFixed(n >= 1e7 ? 1 : 2)}M`;
  return whole.format(n);
}

// rate keeps three figures: 0, 0.4, 12.3, 1,250.
export function rate(n) {
  if (n === null || n === undefined) return unknown;
  if (n === 0) return '0';
  if (n < 0.05) return '<0.1';
  if (n < 100) return n.toFixed(1);
  return count(n);
}

// span formats a time in seconds: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min, 3 d 4 h.
export function span(seconds) {
  if (seconds === null || seconds === undefined) return unknown;
  const s = Math.max(0, seconds);
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

// ms formats a time in milliseconds, with three figures.
export function ms(n) {
  if (n === null || n === undefined) return unknown;
  if (n < 1) return `${n.toFixed(2)} ms`;
  if (n < 10) return `${n.toFixed(1)} ms`;
  if (n < 1000) return `${Math.round(n)} ms`;
  return span(n / 1000);
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit' });

export const time = (epochMs) => {
  if (!epochMs) return unknown;
  const today = new Date().toDateString() === new Date(epochMs).toDateString();
  return (today ? clock : day).format(epochMs); // a worker lives for days
};
export const date = (epochMs) => (epochMs ? day.format(epochMs) : unknown);

export function bytes(n) {
  if (n < 1024) return `${n} B`;
  if (n < 1 << 20) return `${(n / 1024).toFixed(1)} KiB`;
  return `${(n / (1 << 20)).toFixed(1)} MiB`;
}

// nice returns the least of 1, 2 and 5 times a power of ten that is at least n.
export function nice(n) {
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 5, 10].map((m) => m * power).find((m) => m >= n * 0.999);
}

// short shortens a text to a line or two. It cuts the middle out, because names with the same
// beginning differ at the end.
export function short(text, most = 80) {
  const characters = [...text];
  if (characters.length <= most) return text;
  const end = Math.floor(most / 3);
  return `${characters.slice(0, most - 1 - end).join('')}…${characters.slice(-end).join('')}`;
}

// Characters that are invisible or change other text: controls except line breaks and tabs, format
// characters (bidirectional ones, joiners, soft hyphens), separators, unusual spaces, fillers,
// variation selectors, halves of characters.
const unseen = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0]|\u{1d159}|[\u{1d173}-\u{1d17a}]|[\u{e0000}-\u{e0fff}]/gu;

// seen writes such characters as code points: ⟨U+202E⟩.
export const seen = (text) => text.replace(unseen, (c) => `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`);

// quoted returns foreign text for a sentence of the page, and isolates its direction.
export const quoted = (text) => `\u2068${seen(text)}\u2069`;
