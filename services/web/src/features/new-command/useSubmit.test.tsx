import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { act, renderHook } from '@testing-library/react';
import type { ReactNode } from 'react';
import { MemoryRouter } from 'react-router';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ApiProblem, NetworkProblem } from '../../api/problem';
import { aCommand } from '../../testing/samples';
import { useSubmit } from './useSubmit';

const keys: string[] = [];
const outcomes: (() => unknown)[] = [];

vi.mock('../../api/client', () => ({
  api: {
    POST: (_: string, { params }: { params: { header: Record<string, string> } }) => {
      keys.push(params.header['Idempotency-Key'] ?? '');
    },
  },
  answerOf: () => new Promise((resolve) => resolve(outcomes.shift()?.())),
}));

const lost = () => {
  throw new NetworkProblem();
};
const givenUp = () => {
  throw new ApiProblem(504, undefined);
};
const CLEAR = {
  vehicle_id: aCommand().vehicle_id,
  command_name: 'ClearDTC',
  command_params: { ecuAddress: '0x10' },
};

beforeEach(() => vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  keys.length = outcomes.length = 0;
});

function form() {
  const around = ({ children }: { children: ReactNode }) => (
    <MemoryRouter>
      <QueryClientProvider client={new QueryClient()}>{children}</QueryClientProvider>
    </MemoryRouter>
  );
  return renderHook(useSubmit, { wrapper: around }).result;
}

async function send(hook: ReturnType<typeof form>, body: typeof CLEAR, ...answers: (() => unknown)[]) {
  outcomes.push(...answers);
  await act(async () => {
    hook.current.submit(body);
    await vi.advanceTimersByTimeAsync(5_000);
  });
  expect(hook.current.busy).toBe(false);
}

it.each([
  ['nobody answered', [lost, lost, lost]],
  ['a proxy gave up', [givenUp]],
])('what is sent again after %s is the same command: the server may have it', async (_, answers) => {
  const hook = form();
  await send(hook, CLEAR, ...answers);
  expect(hook.current.error).not.toBeNull();
  await send(hook, CLEAR, () => aCommand());
  expect(new Set(keys).size).toBe(1);
});

it('what was answered, or is not the same, is a command of its own', async () => {
  const hook = form();
  await send(hook, CLEAR, () => aCommand());
  await send(hook, CLEAR, lost, lost, lost);
  await send(hook, { ...CLEAR, command_params: { ecuAddress: '0x18' } }, () => aCommand());
  expect(new Set(keys).size).toBe(3);
});
