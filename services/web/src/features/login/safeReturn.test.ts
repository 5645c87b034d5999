import { expect, it } from 'vitest';
import { safeReturn } from './safeReturn';

it.each([
  ['/commands?status=failed', '/commands?status=failed'],
  [null, '/'],
  ['', '/'],
  ['https://example.com/', '/'],
  ['//example.com/', '/'],
  ['/\\example.com', '/'],
  ['/login?returnTo=/login', '/'],
])('after the log-in, %s leads to %s', (wanted, path) => {
  expect(safeReturn(wanted)).toBe(path);
});
