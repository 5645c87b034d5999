import { STATUS_BITS, type Fault, type StatusBit } from './fault';

export type Change = 'new' | 'gone' | 'changed' | 'same';

export interface FaultReading {
  readonly faults: readonly Fault[];
  /** There are more than these: of one that is not among them, nothing is known. */
  readonly truncated: boolean;
}

export interface ComparedFault {
  readonly fault: Fault;
  /** Undefined when there is nothing to compare with, or it may be beyond the end of the reading before. */
  readonly change: Change | undefined;
  /** Status bits that differ from the reading before. */
  readonly changedBits: ReadonlySet<StatusBit>;
}

const NONE: ReadonlySet<StatusBit> = new Set();

/** The faults of the latest reading, then those that the one before had and this has not. */
export function compareReadings(latest: FaultReading, previous: FaultReading | undefined): ComparedFault[] {
  if (previous === undefined) return latest.faults.map((fault) => ({ fault, change: undefined, changedBits: NONE }));
  const before = new Map(previous.faults.map((fault) => [fault.code, fault]));
  const now = new Set(latest.faults.map(({ code }) => code));
  const gone = latest.truncated ? [] : previous.faults.filter(({ code }) => !now.has(code));
  const ifNotBefore = previous.truncated ? undefined : 'new';
  return [
    ...latest.faults.map((fault) => compare(fault, before.get(fault.code), ifNotBefore)),
    ...gone.map((fault) => ({ fault, change: 'gone' as const, changedBits: NONE })),
  ];
}

function compare(fault: Fault, before: Fault | undefined, ifNotBefore: 'new' | undefined): ComparedFault {
  if (before === undefined) return { fault, change: ifNotBefore, changedBits: NONE };
  const bits = STATUS_BITS.map(([bit]) => bit);
  const changedBits = new Set(bits.filter((bit) => fault.status.has(bit) !== before.status.has(bit)));
  return { fault, change: changedBits.size > 0 ? 'changed' : 'same', changedBits };
}
