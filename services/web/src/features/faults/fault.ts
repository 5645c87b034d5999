/** What a `ReadDTC` answer says of one fault (names of ISO 17978-3, status bits of ISO 14229-1 annex D.2). */

export const STATUS_BITS = [
  ['testFailed', 'Test failed'],
  ['testFailedThisOperationCycle', 'Test failed this operation cycle'],
  ['pendingDTC', 'Pending'],
  ['confirmedDTC', 'Confirmed'],
  ['testNotCompletedSinceLastClear', 'Test not completed since last clear'],
  ['testFailedSinceLastClear', 'Test failed since last clear'],
  ['testNotCompletedThisOperationCycle', 'Test not completed this operation cycle'],
  ['warningIndicatorRequested', 'Warning indicator requested'],
] as const;

export type StatusBit = (typeof STATUS_BITS)[number][0];

export interface Fault {
  readonly code: string;
  /** As people write it, such as P0420-11. */
  readonly displayCode: string;
  readonly name: string | undefined;
  readonly severity: number | undefined;
  readonly status: ReadonlySet<StatusBit>;
  readonly rawStatus: string | undefined;
}

const SEVERITIES: Readonly<Record<number, string>> = { 1: 'Fatal', 2: 'Error', 3: 'Warning', 4: 'Information' };

export function severityLabel(severity: number): string {
  return SEVERITIES[severity] ?? `Severity ${severity}`;
}

/** Undefined for anything that is no fault, such as the last answer with the count. */
export function readFault(body: unknown): Fault | undefined {
  if (!isRecord(body) || typeof body.code !== 'string' || !isRecord(body.status)) return undefined;
  const { code, display_code: displayCode, fault_name: name, severity, status } = body;
  return {
    code,
    displayCode: typeof displayCode === 'string' ? displayCode : code,
    name: typeof name === 'string' ? name : undefined,
    severity: typeof severity === 'number' ? severity : undefined,
    status: new Set(STATUS_BITS.map(([bit]) => bit).filter((bit) => status[bit] === true)),
    rawStatus: typeof status.raw === 'string' ? status.raw : undefined,
  };
}

export function readFaults(bodies: readonly unknown[]): Fault[] {
  return bodies.map(readFault).filter((fault) => fault !== undefined);
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
