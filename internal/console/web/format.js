// Numbers and times as people read them. A dash stands for what is not known.

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

// span is a time in seconds: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min, 3 d 4 h.
export function span(seconds) {
  if (seconds === null || seconds === undefined) return unknown;
  const s = Math.max(0, seconds);
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

// ms is a time in milliseconds, with three figures.
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

// short is a text as far as it fits into a line or two.
export function short(text, most = 80) {
  const characters = [...text];
  return characters.length > most ? `${characters.slice(0, most - 1).join('')}…` : text;
}
