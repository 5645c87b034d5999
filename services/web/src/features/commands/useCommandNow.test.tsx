import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { act, render, screen } from '@testing-library/react';
import { MemoryRouter } from 'react-router';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { liveFeed } from '../../live/feed';
import { aCommand } from '../../testing/samples';
import { FakeSocket } from '../../testing/fakeSocket';
import { CommandTable } from './CommandTable';

const COMMAND = aCommand();
let socket: FakeSocket;
let queries: QueryClient;

vi.mock('../../api/client', () => ({ api: { POST: vi.fn() }, answerOf: () => Promise.resolve({ ticket: 't' }) }));

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  socket = new FakeSocket();
  vi.stubGlobal(
    'WebSocket',
    Object.assign(
      function connect() {
        return socket;
      },
      { OPEN: 1, CLOSED: 3, CONNECTING: 0 },
    ),
  );
  queries = new QueryClient();
  liveFeed.start();
  await vi.advanceTimersByTimeAsync(0);
  socket.open();
});

afterEach(() => {
  liveFeed.stop();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function show(command = COMMAND) {
  return render(
    <MemoryRouter>
      <QueryClientProvider client={queries}>
        <CommandTable commands={[command]} label="Commands" />
      </QueryClientProvider>
    </MemoryRouter>,
  );
}

async function say(event: object) {
  await act(async () => {
    socket.say({ command_id: COMMAND.command_id, attempt: 1, ...event });
    await vi.advanceTimersByTimeAsync(200);
  });
}

it('a row shows what happens to its command, and at the end what it changed is read again', async () => {
  const invalidate = vi.spyOn(queries, 'invalidateQueries');
  show();
  expect(socket.sent).toContainEqual({ action: 'subscribe', command_id: COMMAND.command_id, after: 0 });
  await say({ event: 'response', sequence_number: 1, response: {} });
  expect(screen.getByRole('cell', { name: '1' })).toBeInTheDocument();
  expect(screen.getByText('In progress')).toBeInTheDocument();
  await say({
    event: 'error',
    status: 'failed',
    code: 'NEGATIVE_RESPONSE',
    nrc_name: 'conditionsNotCorrect',
    revision: 4,
    responses: 1,
    at: '2026-01-31T12:00:02Z',
  });
  expect(screen.getByText('Failed')).toBeInTheDocument();
  expect(screen.getByText('conditionsNotCorrect')).toBeInTheDocument();
  expect(screen.getByText('2 s')).toBeInTheDocument();
  expect(invalidate.mock.calls.map(([filter]) => filter?.queryKey)).toEqual([
    ['commands', 'list'],
    ['summary'],
    ['vehicles', 'detail', COMMAND.vehicle_id],
    ['fault-memory', COMMAND.vehicle_id],
  ]);
});

it.each([
  ['has ended', aCommand({ status: 'completed', completed_at: '2026-01-31T12:00:01Z' })],
  ['is a stream', aCommand({ command_name: 'StreamDataByID' })],
])('a command that %s is not followed', (_, command) => {
  show(command);
  expect(socket.sent.filter(({ action, command_id }) => action === 'subscribe' && command_id !== undefined)).toEqual(
    [],
  );
});

it('a row that leaves stops following', async () => {
  const other = aCommand({ command_id: '01970c3a-6f2e-7d5a-8c1b-0a4f5e6d7c8c' });
  const { unmount } = show(other);
  unmount();
  await vi.advanceTimersByTimeAsync(3_000);
  expect(socket.sent).toContainEqual({ action: 'unsubscribe', command_id: other.command_id });
});
