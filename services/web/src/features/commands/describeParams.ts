import { cellText } from '../../lib/csv';

/** Parameters in one line, as `ecuAddress 0x10 · dataId 0xF190`. */
export function describeParams(params: Readonly<Record<string, unknown>>): string {
  return Object.entries(params)
    .map(([name, value]) => `${name} ${Array.isArray(value) ? value.map(cellText).join(', ') : cellText(value)}`)
    .join(' · ');
}
