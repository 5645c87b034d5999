import { cellText } from '../../lib/csv';

const ECU = 'ecuAddress';

/** Parameters in one line, the ECU first, as `ecuAddress 0x10 · dataId 0xF190`. */
export function describeParams(params: Readonly<Record<string, unknown>>): string {
  return Object.entries(params)
    .sort(([a], [b]) => Number(b === ECU) - Number(a === ECU))
    .map(([name, value]) => `${name} ${Array.isArray(value) ? value.map(cellText).join(', ') : cellText(value)}`)
    .join(' · ');
}
