import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { NetworkProblem } from './problem';
import { reachability } from './reachability';
import { ANSWER_BEGINS_WITHIN_MS, send } from './transport';

const request = (signal?: AbortSignal) => new Request(window.location.origin, signal && { signal });

/** A server that takes the request and says nothing, until the browser gives it up. */
function neverAnswer(asked: Request, { signal = asked.signal }: RequestInit = {}) {
  return new Promise<Response>((_answer, fail) => {
    signal?.addEventListener('abort', () => fail(new DOMException('given up', 'AbortError')));
  });
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  reachability.report(true);
});

it('a request that is not answered is given up in time', async () => {
  vi.stubGlobal('fetch', neverAnswer);
  const refused = expect(send(request())).rejects.toThrow(NetworkProblem);
  await vi.advanceTimersByTimeAsync(ANSWER_BEGINS_WITHIN_MS);
  await refused;
  expect(reachability.reachable.get()).toBe(false);
});

it('an answer that has begun may take as long as it wants', async () => {
  let limit: AbortSignal | null = null;
  vi.stubGlobal('fetch', (asked: Request, { signal = asked.signal }: RequestInit = {}) => {
    limit = signal;
    return Promise.resolve(new Response('the first part'));
  });
  await send(request());
  await vi.advanceTimersByTimeAsync(2 * ANSWER_BEGINS_WITHIN_MS);
  expect(limit).toMatchObject({ aborted: false });
});

it('what the page itself does not wait for any more says nothing of the network', async () => {
  vi.stubGlobal('fetch', neverAnswer);
  const leaving = new AbortController();
  const left = expect(send(request(leaving.signal))).rejects.toMatchObject({ name: 'AbortError' });
  leaving.abort();
  await left;
  expect(reachability.reachable.get()).toBe(true);
});
