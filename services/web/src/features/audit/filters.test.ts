import { expect, it } from 'vitest';
import { readFilters } from './filters';

it('reads the filters of the API from the address', () => {
  const search = new URLSearchParams('action=user.login&actor_id=u&from=2026-01-31T12:00:00Z&page=2');
  expect(readFilters(search)).toEqual({ action: 'user.login', actor_id: 'u', from: '2026-01-31T12:00:00Z' });
});

it('leaves out what makes no sense', () => {
  expect(readFilters(new URLSearchParams('action=&from=foo&to=yesterday'))).toEqual({});
});
