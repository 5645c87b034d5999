import { describe, expect, it } from 'vitest';
import { readEvent } from './events';

const response = { event: 'response', command_id: 'c', sequence_number: 1, attempt: 2, response: { a: 1 } };

describe('readEvent', () => {
  it('reads an answer as the vehicle sent it', () => {
    const body = { html: '<script>alert(1)</script>', deep: [{ a: null }] };
    const event = readEvent(JSON.stringify({ ...response, response: body, received_at: '2026-01-31T12:00:00.120Z' }));
    expect(event).toMatchObject({ kind: 'response', sequence: 1, attempt: 2, body });
  });

  it('reads a status with what a vehicle asks for', () => {
    const event = readEvent(
      JSON.stringify({
        event: 'status',
        command_id: 'c',
        status: 'in_progress',
        revision: 3,
        responses: 0,
        progress: { nrc: '0x78', nrc_name: 'requestCorrectlyReceived-ResponsePending' },
      }),
    );
    expect(event).toMatchObject({
      kind: 'status',
      terminal: false,
      progress: 'requestCorrectlyReceived-ResponsePending',
    });
  });

  it('reads the end of a command that did not complete', () => {
    const event = readEvent(
      JSON.stringify({
        event: 'error',
        command_id: 'c',
        status: 'failed',
        nrc: '0x22',
        nrc_name: 'conditionsNotCorrect',
      }),
    );
    expect(event).toMatchObject({ kind: 'status', terminal: true, nrc: '0x22', nrcName: 'conditionsNotCorrect' });
  });

  it('reads connection changes, problems and confirmations', () => {
    const vehicle = { event: 'vehicle', vehicle_id: 'v', connection_status: 'offline', at: 't' };
    expect(readEvent(JSON.stringify(vehicle))).toMatchObject({ kind: 'vehicle', connectionStatus: 'offline' });
    const lock = { owner: 'Olivia', owner_id: 'u', taken_at: 't', expires_at: 'e' };
    expect(readEvent(JSON.stringify({ ...vehicle, lock }))).toMatchObject({ lock });
    expect(readEvent(JSON.stringify({ ...vehicle, lock: { owner: 7 } }))).toMatchObject({ lock: null });
    const problem = { reason: 'Connection refused', since: 't' };
    expect(readEvent(JSON.stringify({ ...vehicle, link_problem: problem }))).toMatchObject({ linkProblem: problem });
    expect(readEvent(JSON.stringify({ ...vehicle, link_problem: {} }))).toMatchObject({ linkProblem: null });
    expect(readEvent('{"event":"resync","vehicles":true}')).toEqual({ kind: 'resync' });
    expect(readEvent('{"event":"pong"}')).toEqual({ kind: 'pong' });
    expect(readEvent('{"event":"problem","code":"X","message":"m","command_id":"c"}')).toMatchObject({ code: 'X' });
    expect(readEvent('{"event":"unsubscribed","command_id":"c"}')).toEqual({ kind: 'unsubscribed', commandId: 'c' });
  });

  it.each([
    ['not JSON', '{'],
    ['no object', '[1]'],
    ['no object', 'null'],
    ['no event', '{"a":1}'],
    ['an unknown event', '{"event":"confetti"}'],
    ['an event that is no text', '{"event":{"a":1}}'],
    ['an answer without a number', JSON.stringify({ ...response, sequence_number: undefined })],
    ['an answer with a number that is none', JSON.stringify({ ...response, sequence_number: '1' })],
    ['an answer with the number 0', JSON.stringify({ ...response, sequence_number: 0 })],
    ['an answer with half a number', JSON.stringify({ ...response, sequence_number: 1.5 })],
    ['an answer without content', JSON.stringify({ ...response, response: undefined })],
    ['an answer of nobody', JSON.stringify({ ...response, command_id: 7 })],
    ['a status without a name', '{"event":"status","command_id":"c"}'],
    ['a vehicle without a state', '{"event":"vehicle","vehicle_id":"v"}'],
  ])('shows %s as it is', (_, message) => {
    expect(readEvent(message)).toMatchObject({ kind: 'oddity', text: message });
  });

  it('shows what is no text', () => {
    expect(readEvent(new ArrayBuffer(1)).kind).toBe('oddity');
  });

  it('keeps what it does not understand short', () => {
    const event = readEvent(`{"event":"${'x'.repeat(10_000)}"}`);
    expect(event.kind === 'oddity' && event.text.length).toBe(2_000);
  });
});
