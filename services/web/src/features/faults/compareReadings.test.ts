import { describe, expect, it } from 'vitest';
import { compareReadings } from './compareReadings';
import { readFault, readFaults, type Fault } from './fault';

function fault(code: string, ...bits: string[]): Fault {
  const read = readFault({ code, status: Object.fromEntries(bits.map((bit) => [bit, true])) });
  if (read === undefined) throw new Error('no fault');
  return read;
}

const summary = (latest: Fault[], previous: Fault[] | undefined) =>
  compareReadings(latest, previous).map(({ fault: { code }, change, changedBits }) => [code, change, ...changedBits]);

describe('compareReadings', () => {
  it('tells new, gone, changed and unchanged faults apart', () => {
    const previous = [fault('a', 'testFailed'), fault('b'), fault('c', 'pendingDTC')];
    const latest = [fault('a', 'testFailed'), fault('c', 'confirmedDTC'), fault('d')];
    expect(summary(latest, previous)).toEqual([
      ['a', 'same'],
      ['c', 'changed', 'pendingDTC', 'confirmedDTC'],
      ['d', 'new'],
      ['b', 'gone'],
    ]);
  });

  it('claims nothing without a reading before', () => {
    expect(summary([fault('a')], undefined)).toEqual([['a', undefined]]);
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
