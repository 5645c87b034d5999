import { render, screen } from '@testing-library/react';
import { expect, it, vi } from 'vitest';
import { MomentField } from './MomentField';

const show = (value: string) => {
  render(<MomentField label="From" value={value} onChange={vi.fn()} />);
  return screen.getByLabelText('From');
};

it('shows the minute of its moment in the user’s zone', () => {
  const noon = new Date(2026, 0, 31, 12, 30);
  expect(show(noon.toISOString())).toHaveValue('2026-01-31T12:30');
});

it.each(['foo', '2026-13-01T00:00:00Z', '-271821-04-20T00:00:00.000Z', '+275760-09-13T00:00:00.000Z'])(
  'does not break of %s, which anybody can write in the address',
  (value) => {
    expect(show(value)).toBeInTheDocument();
  },
);
