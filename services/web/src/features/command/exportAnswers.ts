import { toCsv } from '../../lib/csv';
import type { ResponseEvent } from '../../live/events';
import { isRecord } from '../faults/fault';

/** As the API lists them. */
export function answersJson(answers: readonly ResponseEvent[]): string {
  const items = answers.map(({ sequence, attempt, body, receivedAt }) => ({
    sequence_number: sequence,
    attempt,
    response: body,
    received_at: receivedAt,
  }));
  return JSON.stringify(items, null, 2);
}

/** A column for each field that any answer has; objects within are spread, as `status.testFailed`. */
export function answersCsv(answers: readonly ResponseEvent[]): string {
  const flat = answers.map(({ body }) => flatten(body));
  const columns = [...new Set(flat.flatMap((fields) => [...fields.keys()]))];
  const rows = answers.map(({ sequence, attempt, receivedAt }, index) => [
    sequence,
    attempt,
    receivedAt,
    ...columns.map((column) => flat[index]?.get(column)),
  ]);
  return toCsv([['sequence_number', 'attempt', 'received_at', ...columns], ...rows]);
}

function flatten(value: unknown, prefix = ''): Map<string, unknown> {
  if (!isRecord(value)) return new Map([[prefix || 'response', value]]);
  return new Map(
    Object.entries(value).flatMap(([name, inner]) => {
      const path = prefix === '' ? name : `${prefix}.${name}`;
      return isRecord(inner) ? [...flatten(inner, path)] : [[path, inner] as [string, unknown]];
    }),
  );
}
