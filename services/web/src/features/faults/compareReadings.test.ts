import { describe, expect, it } from 'vitest';
import { compareReadings, type FaultReading } from './compareReadings';
import { readFault, readFaults, type Fault } from './fault';

function fault(code: string, ...bits: string[]): Fault {
  const read = readFault({ code, status: Object.fromEntries(bits.map((bit) => [bit, true])) });
  if (read === undefined) throw new Error('no fault');
  return read;
}

const whole = (...faults: Fault[]): FaultReading => ({ faults, truncated: false });
const cut = (...faults: Fault[]): FaultReading => ({ faults, truncated: true });
const summary = (latest: FaultReading, previous: FaultReading | undefined) =>
  compareReadings(latest, previous).map(({ fault: { code }, change, changedBits }) => [code, change, ...changedBits]);

describe('compareReadings', () => {
  it('tells new, gone, changed and unchanged faults apart', () => {
    const previous = whole(fault('a', 'testFailed'), fault('b'), fault('c', 'pendingDTC'));
    const latest = whole(fault('a', 'testFailed'), fault('c', 'confirmedDTC'), fault('d'));
    expect(summary(latest, previous)).toEqual([
      ['a', 'same'],
      ['c', 'changed', 'pendingDTC', 'confirmedDTC'],
      ['d', 'new'],
      ['b', 'gone'],
    ]);
  });

  it('claims nothing without a reading before', () => {
    expect(summary(whole(fault('a')), undefined)).toEqual([['a', undefined]]);
  });

  it('calls nothing new that the reading before may have had beyond its end', () => {
    expect(summary(whole(fault('a'), fault('b')), cut(fault('a'), fault('c')))).toEqual([
      ['a', 'same'],
      ['b', undefined],
      ['c', 'gone'],
    ]);
  });

  it('calls nothing gone that the latest reading may have beyond its end', () => {
    expect(summary(cut(fault('a'), fault('c')), whole(fault('a'), fault('b')))).toEqual([
      ['a', 'same'],
      ['c', 'new'],
    ]);
  });
});

describe('readFaults', () => {
  it('leaves out the count, and whatever makes no sense', () => {
    const bodies = [
      { code: '1', status: {} },
      { ecuAddress: '0x10', count: 1 },
      null,
      'x',
      [],
      { code: 1, status: {} },
    ];
    expect(readFaults(bodies).map(({ code }) => code)).toEqual(['1']);
  });
});
