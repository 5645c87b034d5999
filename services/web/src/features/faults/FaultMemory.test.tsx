import { ThemeProvider } from '@mui/material/styles';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { render, screen } from '@testing-library/react';
import { MemoryRouter } from 'react-router';
import { expect, it } from 'vitest';
import { theme } from '../../theme/theme';
import { faultMemoryKey } from '../vehicles/queries';
import { FaultMemory } from './FaultMemory';

function reading(command_id: string, codes: string[], truncated: boolean) {
  const dtcs = codes.map((code) => ({ code, status: {} }));
  return { command_id, completed_at: '2026-01-31T12:00:00Z', dtcs, truncated };
}

function show(latest: object, previous: object | null) {
  const queries = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity } } });
  queries.setQueryData(faultMemoryKey('v'), { items: [{ ecu_address: '0x10', latest, previous }] });
  render(
    <QueryClientProvider client={queries}>
      <ThemeProvider theme={theme}>
        <MemoryRouter>
          <FaultMemory vehicleId="v" ecuNames={new Map()} />
        </MemoryRouter>
      </ThemeProvider>
    </QueryClientProvider>,
  );
}

it('says what is new and what is gone', () => {
  show(reading('now', ['P1', 'P2'], false), reading('before', ['P1', 'P3'], false));
  expect(screen.getByText('2 faults')).toBeInTheDocument();
  expect(screen.getByText('New')).toBeInTheDocument();
  expect(screen.getByText('Gone')).toBeInTheDocument();
});

it('says of a memory that is not shown whole that there is more of it, and calls none of it gone or new', () => {
  show(reading('now', ['P1', 'P2'], true), reading('before', ['P1', 'P3'], true));
  expect(screen.getByText('more faults than the 2 shown here')).toBeInTheDocument();
  expect(screen.queryByText('New')).toBeNull();
  expect(screen.queryByText('Gone')).toBeNull();
});
