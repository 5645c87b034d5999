import { cellText } from '../../lib/csv';
import { nameAt, type Ecu } from '../../lib/ecu';

const ECU = 'ecuAddress';

/** Parameters in one line, the ECU first and by its name where `ecus` has it: `ecuAddress 0x10 (ECM) · dataId 0xF190`. */
export function describeParams(params: Readonly<Record<string, unknown>>, ecus: readonly Ecu[] = []): string {
  return Object.entries(params)
    .sort(([a], [b]) => Number(b === ECU) - Number(a === ECU))
    .map(([name, value]) => `${name} ${describeValue(value)}${name === ECU ? named(ecus, cellText(value)) : ''}`)
    .join(' · ');
}

function describeValue(value: unknown): string {
  return Array.isArray(value) ? value.map(cellText).join(', ') : cellText(value);
}

function named(ecus: readonly Ecu[], address: string): string {
  const name = nameAt(ecus, address);
  return name === '' ? '' : ` (${name})`;
}
