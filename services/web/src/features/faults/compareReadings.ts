import { STATUS_BITS, type Fault, type StatusBit } from './fault';

export type Change = 'new' | 'gone' | 'changed' | 'same';

export interface ComparedFault {
  readonly fault: Fault;
  /** Undefined when there is nothing to compare with. */
  readonly change: Change | undefined;
  /** Status bits that differ from the reading before. */
  readonly changedBits: ReadonlySet<StatusBit>;
}

const NONE: ReadonlySet<StatusBit> = new Set();

/** The faults of the latest reading, then those that the one before had and this has not. */
export function compareReadings(latest: readonly Fault[], previous: readonly Fault[] | undefined): ComparedFault[] {
  if (previous === undefined) return latest.map((fault) => ({ fault, change: undefined, changedBits: NONE }));
  const before = new Map(previous.map((fault) => [fault.code, fault]));
  const now = new Set(latest.map(({ code }) => code));
  const gone = previous.filter(({ code }) => !now.has(code));
  return [
    ...latest.map((fault) => compare(fault, before.get(fault.code))),
    ...gone.map((fault) => ({ fault, change: 'gone' as const, changedBits: NONE })),
  ];
}

function compare(fault: Fault, before: Fault | undefined): ComparedFault {
  if (before === undefined) return { fault, change: 'new', changedBits: NONE };
  const bits = STATUS_BITS.map(([bit]) => bit);
  const changedBits = new Set(bits.filter((bit) => fault.status.has(bit) !== before.status.has(bit)));
  return { fault, change: changedBits.size > 0 ? 'changed' : 'same', changedBits };
}
