import { expect, it } from 'vitest';
import { formatDuration, formatTime, formatUtc, secondsBetween } from './time';

it.each([
  [0.0204, '20 ms'],
  [3.24, '3.2 s'],
  [59.96, '60 s'],
  [60, '1 min'],
  [250, '4 min 10 s'],
  [7_500, '2 h 5 min'],
])('%d seconds are %s', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

it('says how long ago something was', () => {
  const now = new Date('2026-01-31T12:00:00Z');
  const ago = (seconds: number) => formatTime(new Date(now.getTime() - seconds * 1000), 'relative', now);
  expect([ago(5), ago(-5), ago(130), ago(7_300)]).toEqual(['just now', 'just now', '2 minutes ago', '2 hours ago']);
});

it('says it in UTC, too', () => {
  expect(formatUtc(new Date('2026-01-31T12:00:00.120Z'))).toBe('2026-01-31 12:00:00.120 UTC');
});

it('knows no negative time between two clocks', () => {
  expect(secondsBetween('2026-01-31T12:00:01Z', '2026-01-31T12:00:00Z')).toBe(0);
});
