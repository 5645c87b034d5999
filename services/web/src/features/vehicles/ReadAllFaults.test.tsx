import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { act, render, screen } from '@testing-library/react';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ApiProblem } from '../../api/problem';
import { toasts } from '../../components/toast';
import { liveFeed } from '../../live/feed';
import { aCommand, anEcu, aVehicle } from '../../testing/samples';
import { FakeSocket } from '../../testing/fakeSocket';
import { ReadAllFaults } from './ReadAllFaults';

const server = vi.hoisted((): { full: string[]; test: number } => ({ full: [], test: 0 }));
interface Body {
  command_params: { ecuAddress: string };
}
vi.mock('../../api/client', () => ({
  api: { POST: (_: string, options?: { body: Body }) => options?.body.command_params.ecuAddress },
  answerOf: (address: string | undefined) => {
    if (address === undefined) return Promise.resolve({ ticket: 't' });
    if (server.full.includes(address)) {
      return Promise.reject(new ApiProblem(429, { code: 'VEHICLE_QUEUE_FULL', detail: 'too many commands wait' }));
    }
    return Promise.resolve(aCommand({ command_id: commandOf(address) }));
  },
}));

/** Followers outlive a test. */
const commandOf = (address: string) => `${server.test}: ${address}`;
const VEHICLE = aVehicle({ ecus: ['0x10', '0x18', '0x28'].map((address) => anEcu({ address })) });
let socket: FakeSocket;

beforeEach(async () => {
  vi.useFakeTimers();
  socket = new FakeSocket();
  function connect() {
    return socket;
  }
  vi.stubGlobal('WebSocket', Object.assign(connect, { OPEN: 1, CLOSED: 3, CONNECTING: 0 }));
  liveFeed.start();
  await vi.advanceTimersByTimeAsync(0);
  socket.open();
  toasts.set([]);
  server.full = [];
  server.test += 1;
  render(
    <QueryClientProvider client={new QueryClient()}>
      <ReadAllFaults vehicle={VEHICLE} />
    </QueryClientProvider>,
  );
});
afterEach(() => {
  liveFeed.stop();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** What is drawn in consequence begins what comes after it. */
const pass = () => act(() => vi.advanceTimersByTimeAsync(200));

async function start() {
  act(() => screen.getByRole('button').click());
  await pass();
}

async function complete(...addresses: string[]) {
  act(() => {
    for (const address of addresses) {
      const event = { event: 'status', status: 'completed', revision: 9, responses: 0 };
      socket.say({ ...event, command_id: commandOf(address) });
    }
  });
  await pass();
  await pass();
}

const said = () => toasts.get().map(({ severity, text }) => `${severity}: ${text}`);

it('counts the ECUs that were read, and says when all were', async () => {
  await start();
  await complete('0x10');
  expect(screen.getByText('1 of 3 ECUs read')).toBeInTheDocument();
  await complete('0x18', '0x28');
  expect(screen.getByRole('button')).toHaveTextContent('Read all fault memories');
  expect(said()).toEqual(['success: The fault memories of 3 ECUs were read.']);
});

it('goes on with those that were sent when others were refused, and says which is which', async () => {
  server.full = ['0x18'];
  await start();
  expect(said()).toEqual([
    'error: 1 of 3 ECUs cannot be read now: Too many commands wait. Wait a moment, then try again.',
  ]);
  await complete('0x10');
  expect(screen.getByText('1 of 2 ECUs read')).toBeInTheDocument();
  await complete('0x28');
  expect(said()).toContain('success: The fault memories of 2 ECUs were read.');
});

it('says that nothing is read when nothing could be sent', async () => {
  server.full = ['0x10', '0x18', '0x28'];
  await start();
  expect(screen.getByRole('button')).toHaveTextContent('Read all fault memories');
  expect(said()).toEqual([
    'error: The fault memories were not read: Too many commands wait. Wait a moment, then try again.',
  ]);
});
