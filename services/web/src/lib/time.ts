const DATE_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const CLOCK_MS = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
});
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });

export type TimeStyle = 'full' | 'short' | 'milliseconds' | 'relative';

/** In the user's zone; `short` leaves the date out for what is of today. */
export function formatTime(at: Date, style: TimeStyle, now: Date): string {
  switch (style) {
    case 'relative':
      return formatRelative(at, now);
    case 'milliseconds':
      return CLOCK_MS.format(at);
    case 'short':
      return at.toDateString() === now.toDateString() ? CLOCK.format(at) : DATE_TIME.format(at);
    case 'full':
      return DATE_TIME.format(at);
  }
}

export function formatUtc(at: Date): string {
  return `${at.toISOString().replace('T', ' ').replace('Z', '')} UTC`;
}

const STEPS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
];

function formatRelative(at: Date, now: Date): string {
  const seconds = (at.getTime() - now.getTime()) / 1000;
  const step = STEPS.find(([, size]) => Math.abs(seconds) >= size);
  // The clocks of two machines differ by more than this.
  if (step === undefined) return 'just now';
  return RELATIVE.format(Math.trunc(seconds / step[1]), step[0]);
}

/** 850 ms, 3.2 s, 4 min 10 s, 2 h 5 min. */
export function formatDuration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return join(Math.floor(whole / 60), 'min', whole % 60, 's');
  return join(Math.floor(whole / 3600), 'h', Math.round((whole % 3600) / 60), 'min');
}

function join(major: number, majorUnit: string, minor: number, minorUnit: string): string {
  return minor === 0 ? `${major} ${majorUnit}` : `${major} ${majorUnit} ${minor} ${minorUnit}`;
}

export function secondsBetween(from: string, to: string): number {
  return Math.max(0, (Date.parse(to) - Date.parse(from)) / 1000);
}

export function isMoment(text: string | null): boolean {
  return !Number.isNaN(Date.parse(text ?? ''));
}
