import { describe, expect, it } from 'vitest';
import { CommandTrail } from './commandTrail';
import { readEvent } from './events';

const COMMAND = '01970c3a-6f2e-7d5a-8c1b-0a4f5e6d7c8b';

function answer(sequence: number) {
  return readEvent(
    JSON.stringify({ event: 'response', command_id: COMMAND, sequence_number: sequence, response: { n: sequence } }),
  );
}

function status(name: string, revision: number, responses = 0) {
  return readEvent(JSON.stringify({ event: 'status', command_id: COMMAND, status: name, revision, responses }));
}

function sequences(trail: CommandTrail): number[] {
  return trail.snapshot().answers.map(({ sequence }) => sequence);
}

describe('answers', () => {
  it('are kept in order', () => {
    const trail = new CommandTrail();
    expect([1, 2, 3].map((sequence) => trail.accept(answer(sequence)))).toEqual(['news', 'news', 'news']);
    expect(sequences(trail)).toEqual([1, 2, 3]);
    expect(trail.after).toBe(3);
  });

  it('are taken once, however often they come', () => {
    const trail = new CommandTrail();
    for (const sequence of [1, 2, 1, 2, 2, 3, 1]) trail.accept(answer(sequence));
    expect(sequences(trail)).toEqual([1, 2, 3]);
  });

  it('tell of a gap, and are not taken beyond it', () => {
    const trail = new CommandTrail();
    trail.accept(answer(1));
    expect(trail.accept(answer(3))).toBe('gap');
    expect(sequences(trail)).toEqual([1]);
    expect(trail.after).toBe(1);
  });

  it('go on after a reconnect that repeats some of them', () => {
    const trail = new CommandTrail();
    for (const sequence of [1, 2]) trail.accept(answer(sequence));
    for (const sequence of [2, 3, 4]) trail.accept(answer(sequence));
    expect(sequences(trail)).toEqual([1, 2, 3, 4]);
  });
});

describe('the status', () => {
  it('is the newest, whatever the order of arrival', () => {
    const trail = new CommandTrail();
    expect(trail.accept(status('in_progress', 3))).toBe('news');
    expect(trail.accept(status('dispatched', 2))).toBe('known');
    expect(trail.snapshot().status?.status).toBe('in_progress');
  });

  it('is not taken before the answers that it counts', () => {
    const trail = new CommandTrail();
    trail.accept(answer(1));
    expect(trail.accept(status('completed', 4, 2))).toBe('gap');
    expect(trail.ended).toBe(false);
    trail.accept(answer(2));
    expect(trail.accept(status('completed', 4, 2))).toBe('news');
    expect(trail.ended).toBe(true);
  });

  it('never changes after the end', () => {
    const trail = new CommandTrail();
    trail.accept(status('cancelled', 5));
    expect(trail.accept(status('completed', 6))).toBe('known');
    expect(trail.snapshot().status?.status).toBe('cancelled');
  });

  it('that a newer server knows is shown, and ends nothing', () => {
    const trail = new CommandTrail();
    expect(trail.accept(status('paused', 3))).toBe('news');
    expect(trail.snapshot().status?.status).toBe('paused');
    expect(trail.ended).toBe(false);
  });

  it('of an error event ends the command, whatever its name', () => {
    const trail = new CommandTrail();
    const error = { event: 'error', command_id: COMMAND, status: 'melted', code: 'X', error_message: 'y', revision: 9 };
    trail.accept(readEvent(JSON.stringify({ ...error, responses: 0 })));
    expect(trail.ended).toBe(true);
    expect(trail.snapshot().status).toMatchObject({ status: 'melted', code: 'X', message: 'y' });
  });
});

describe('what is not understood', () => {
  it('is kept to be shown', () => {
    const trail = new CommandTrail();
    expect(trail.accept(readEvent(JSON.stringify({ event: 'confetti', command_id: COMMAND })))).toBe('news');
    expect(trail.snapshot().oddities[0]).toMatchObject({ reason: 'an event named “confetti”' });
  });

  it('is counted, but not kept without end', () => {
    const trail = new CommandTrail();
    for (let time = 0; time < 500; time += 1) trail.accept(readEvent('{'));
    expect(trail.snapshot().oddityCount).toBe(500);
    expect(trail.snapshot().oddities.length).toBe(20);
  });
});
