import { cellText } from '../../lib/csv';
import { isRecord } from '../faults/fault';

/** What a data answer (`ReadDataByID`, `StreamDataByID`) says. */
export interface DataValue {
  readonly id: string;
  readonly name: string;
  readonly raw: string;
  readonly text: string;
  /** Undefined for what is no number. */
  readonly number: number | undefined;
  readonly unit: string;
}

export function readDataValue(body: unknown): DataValue | undefined {
  if (!isRecord(body) || typeof body.id !== 'string' || typeof body.raw !== 'string') return undefined;
  const { id, raw, value, unit, name } = body;
  return {
    id,
    raw,
    name: typeof name === 'string' ? name : '',
    text: cellText(value),
    number: typeof value === 'number' && Number.isFinite(value) ? value : undefined,
    unit: typeof unit === 'string' ? unit : '',
  };
}

const SHOWN: ReadonlySet<string> = new Set(['ecuAddress', 'id', 'name', 'raw', 'value', 'unit']);

/** What a data answer says besides, as what became of a routine. Undefined for nothing. */
export function beyondData(body: unknown): Readonly<Record<string, unknown>> | undefined {
  const rest = Object.entries(body as object).filter(([name]) => !SHOWN.has(name));
  return rest.length === 0 ? undefined : Object.fromEntries(rest);
}
