import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeSocket } from '../testing/fakeSocket';
import { LiveFeed } from './liveFeed';
import { ANSWER_WITHIN_MS, PING_AFTER_MS } from './reconnectingSocket';

const COMMAND = '01970c3a-6f2e-7d5a-8c1b-0a4f5e6d7c8b';
const BATCH_MS = 150;

let sockets: FakeSocket[];
let refuse: boolean;
let feed: LiveFeed;

beforeEach(() => {
  vi.useFakeTimers();
  sockets = [];
  refuse = false;
  feed = new LiveFeed(() => {
    if (refuse) return Promise.reject(new Error('no ticket'));
    const socket = new FakeSocket();
    sockets.push(socket);
    return Promise.resolve(socket as unknown as WebSocket);
  });
});

afterEach(() => {
  feed.stop();
  vi.useRealTimers();
});

async function connect(): Promise<FakeSocket> {
  feed.start();
  await vi.advanceTimersByTimeAsync(0);
  latest().open();
  return latest();
}

function latest(): FakeSocket {
  const socket = sockets.at(-1);
  if (socket === undefined) throw new Error('nothing connected');
  return socket;
}

function answer(sequence: number) {
  return { event: 'response', command_id: COMMAND, sequence_number: sequence, response: { sequence } };
}

function completed(responses: number) {
  return { event: 'status', command_id: COMMAND, status: 'completed', revision: 9, responses };
}

function follow() {
  const follower = feed.follower(COMMAND);
  const leave = feed.hold(follower);
  return { follower, leave, count: () => follower.state.get().count };
}

describe('a command that is followed', () => {
  it('is subscribed when the connection is there', async () => {
    follow();
    const socket = await connect();
    expect(socket.sent).toEqual([{ action: 'subscribe', command_id: COMMAND, after: 0 }]);
  });

  it('is subscribed at once on an open connection, and only once for all who follow', async () => {
    const socket = await connect();
    follow();
    follow();
    expect(socket.sent).toEqual([{ action: 'subscribe', command_id: COMMAND, after: 0 }]);
  });

  it('goes on after the last answer when the connection comes back', async () => {
    const { follower } = follow();
    const first = await connect();
    [1, 2, 3].forEach((sequence) => first.say(answer(sequence)));
    first.lose();
    expect(feed.state.get()).toBe('waiting');
    await vi.advanceTimersByTimeAsync(500);
    latest().open();
    expect(latest().sent).toEqual([{ action: 'subscribe', command_id: COMMAND, after: 3 }]);
    [3, 4].forEach((sequence) => latest().say(answer(sequence)));
    latest().say(completed(4));
    await vi.advanceTimersByTimeAsync(BATCH_MS);
    expect(follower.state.get().answers.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4]);
    expect(follower.state.get().ended).toBe(true);
  });

  it('has its first answer told at once, right after a status; the next ones wait for their batch', async () => {
    const { count } = follow();
    const socket = await connect();
    socket.say({ event: 'status', command_id: COMMAND, status: 'in_progress', revision: 2 });
    await vi.advanceTimersByTimeAsync(10);
    socket.say(answer(1));
    await vi.advanceTimersByTimeAsync(0);
    expect(count()).toBe(1);
    socket.say(answer(2));
    await vi.advanceTimersByTimeAsync(BATCH_MS / 2);
    expect(count()).toBe(1);
    await vi.advanceTimersByTimeAsync(BATCH_MS / 2);
    expect(count()).toBe(2);
  });

  it('asks again for what is missing', async () => {
    const { count } = follow();
    const socket = await connect();
    [1, 3, 4].forEach((sequence) => socket.say(answer(sequence)));
    expect(socket.sent.slice(1)).toEqual([{ action: 'unsubscribe', command_id: COMMAND }]);
    socket.say({ event: 'unsubscribed', command_id: COMMAND });
    expect(socket.sent.at(-1)).toEqual({ action: 'subscribe', command_id: COMMAND, after: 1 });
    [2, 3, 4].forEach((sequence) => socket.say(answer(sequence)));
    await vi.advanceTimersByTimeAsync(BATCH_MS);
    expect(count()).toBe(4);
  });

  it('is not subscribed again once it has ended', async () => {
    follow();
    const socket = await connect();
    socket.say(completed(0));
    socket.lose();
    await vi.advanceTimersByTimeAsync(500);
    latest().open();
    expect(latest().sent).toEqual([]);
  });

  it('that does not exist says so', async () => {
    const { follower } = follow();
    const socket = await connect();
    socket.say({ event: 'problem', code: 'UNKNOWN_COMMAND', message: 'no such command', command_id: COMMAND });
    await vi.advanceTimersByTimeAsync(BATCH_MS);
    expect(follower.state.get().unknown).toBe(true);
  });

  it('is let go of some time after the last one left', async () => {
    const { leave } = follow();
    const socket = await connect();
    leave();
    expect(socket.sent).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(socket.sent.at(-1)).toEqual({ action: 'unsubscribe', command_id: COMMAND });
  });

  it('keeps what it knows for one who comes right back', async () => {
    const { leave, follower } = follow();
    await connect();
    leave();
    await vi.advanceTimersByTimeAsync(500);
    expect(feed.follower(COMMAND)).toBe(follower);
  });

  it('tells in batches', async () => {
    const { follower, count } = follow();
    const socket = await connect();
    const told = vi.fn();
    follower.state.subscribe(told);
    for (let sequence = 1; sequence <= 500; sequence += 1) {
      socket.say(answer(sequence));
      await vi.advanceTimersByTimeAsync(2);
    }
    await vi.advanceTimersByTimeAsync(BATCH_MS);
    expect(count()).toBe(500);
    expect(told.mock.calls.length).toBeLessThanOrEqual(13);
  });

  it('is told of events that nobody can assign', async () => {
    const { follower } = follow();
    const socket = await connect();
    socket.say({ event: 'confetti' });
    await vi.advanceTimersByTimeAsync(BATCH_MS);
    expect(follower.state.get().oddityCount).toBe(1);
  });
});

describe('vehicles', () => {
  const watcher = () => ({ onChange: vi.fn(), onResync: vi.fn() });

  it('are subscribed again after a reconnect, and told of', async () => {
    const watching = watcher();
    feed.watchVehicles(watching);
    const socket = await connect();
    expect(socket.sent).toEqual([{ action: 'subscribe', vehicles: true }]);
    socket.say({ event: 'resync', vehicles: true });
    socket.say({ event: 'vehicle', vehicle_id: 'v', connection_status: 'online' });
    expect(watching.onResync).toHaveBeenCalledOnce();
    expect(watching.onChange).toHaveBeenCalledWith(expect.objectContaining({ vehicleId: 'v' }));
    socket.lose();
    await vi.advanceTimersByTimeAsync(500);
    latest().open();
    expect(latest().sent).toEqual([{ action: 'subscribe', vehicles: true }]);
  });

  it('are left alone when nobody watches', async () => {
    const unwatch = feed.watchVehicles(watcher());
    const socket = await connect();
    unwatch();
    expect(socket.sent.at(-1)).toEqual({ action: 'unsubscribe', vehicles: true });
  });
});

describe('the connection', () => {
  it('is tried again with growing pauses', async () => {
    feed.start();
    await vi.advanceTimersByTimeAsync(0);
    // Each is at least half of that long.
    for (const pause of [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]) {
      const before = sockets.length;
      latest().lose();
      await vi.advanceTimersByTimeAsync(pause / 2 - 1);
      expect(sockets.length).toBe(before);
      await vi.advanceTimersByTimeAsync(pause / 2 + 1);
      expect(sockets.length).toBe(before + 1);
    }
  });

  it('is tried again when no ticket could be had', async () => {
    refuse = true;
    feed.start();
    await vi.advanceTimersByTimeAsync(2_000);
    refuse = false;
    await vi.advanceTimersByTimeAsync(4_000);
    expect(sockets).toHaveLength(1);
  });

  it('is tried at once when the network returns', async () => {
    const socket = await connect();
    socket.lose();
    window.dispatchEvent(new Event('online'));
    await vi.advanceTimersByTimeAsync(0);
    expect(sockets).toHaveLength(2);
  });

  it('that is silent is asked, and given up when it does not answer', async () => {
    const socket = await connect();
    await vi.advanceTimersByTimeAsync(PING_AFTER_MS);
    expect(socket.sent).toEqual([{ action: 'ping' }]);
    await vi.advanceTimersByTimeAsync(ANSWER_WITHIN_MS);
    expect(socket.closed).toBe(true);
    expect(feed.state.get()).not.toBe('open');
  });

  it('that answers is kept', async () => {
    const socket = await connect();
    await vi.advanceTimersByTimeAsync(PING_AFTER_MS);
    socket.say({ event: 'pong' });
    await vi.advanceTimersByTimeAsync(ANSWER_WITHIN_MS);
    expect(feed.state.get()).toBe('open');
  });

  it('stays closed after a stop', async () => {
    const socket = await connect();
    feed.stop();
    expect(socket.closed).toBe(true);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sockets).toHaveLength(1);
  });
});
