import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query';
import { render, screen } from '@testing-library/react';
import { act } from 'react';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { summaryKey } from '../features/dashboard/queries';
import { FakeSocket } from '../testing/fakeSocket';
import { useLiveFeed } from './useLiveFeed';

vi.mock('../api/client', () => ({ api: { POST: vi.fn() }, answerOf: () => Promise.resolve({ ticket: 't' }) }));

/** How long the server takes for the numbers. */
const READ_MS = 200;
let socket: FakeSocket;
let reads: number;

beforeEach(() => {
  vi.useFakeTimers();
  reads = 0;
  socket = new FakeSocket();
  const connect = Object.assign(function connect() {
    return socket;
  }, FakeSocket);
  vi.stubGlobal('WebSocket', Object.assign(connect, { OPEN: 1, CLOSED: 3, CONNECTING: 0 }));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function Numbers() {
  useLiveFeed();
  const { data } = useQuery({
    queryKey: summaryKey,
    queryFn: async () => {
      reads += 1;
      const number = reads;
      await new Promise((resolve) => setTimeout(resolve, READ_MS));
      return number;
    },
  });
  return <p>{data}</p>;
}

/** Something changes at a vehicle of the fleet every ten milliseconds. */
async function fleetComesBack(milliseconds: number) {
  for (let passed = 0; passed < milliseconds; passed += 10) {
    await act(async () => {
      socket.say({ event: 'vehicle', vehicle_id: `v${passed}`, connection_status: 'online', lock: null });
      await vi.advanceTimersByTimeAsync(10);
    });
  }
}

it('a fleet that comes back costs a few reads of the numbers, and they are shown while it does', async () => {
  render(
    <QueryClientProvider client={new QueryClient()}>
      <Numbers />
    </QueryClientProvider>,
  );
  await act(() => vi.advanceTimersByTimeAsync(READ_MS));
  socket.open();
  await fleetComesBack(5_000);
  expect(reads).toBeGreaterThan(3);
  expect(reads).toBeLessThan(10);
  expect(Number(screen.getByRole('paragraph').textContent)).toBeGreaterThan(3);
});
