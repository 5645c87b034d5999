import { expect, it } from 'vitest';
import { readFilters } from './filters';

it('reads the filters of the API from the address', () => {
  const search = new URLSearchParams('status=failed&status=completed&command_name=ReadDTC&from=2026-01-31T12:00:00Z');
  expect(readFilters(search)).toEqual({
    status: ['completed', 'failed'],
    command_name: 'ReadDTC',
    from: '2026-01-31T12:00:00Z',
  });
});

it('leaves out what makes no sense', () => {
  expect(readFilters(new URLSearchParams('status=melted&from=yesterday&user_id='))).toEqual({ status: [] });
});
