import type { Vehicle } from '../api/client';

export type Ecu = Vehicle['ecus'][number];

/** What people know an ECU by: its name or, where it has none, its part number. */
export const ecuName = (ecu: Ecu): string => (ecu.name === '' ? (ecu.part_number ?? '') : ecu.name);

/** `0x10 · ECM`. */
export function ecuLabel(ecu: Ecu): string {
  const name = ecuName(ecu);
  return name === '' ? ecu.address : `${ecu.address} · ${name}`;
}

/** The ECUs whose address, name or part number has this in it; all for a text that is an address already. */
export function matchingEcus(ecus: readonly Ecu[], text: string): readonly Ecu[] {
  const wanted = text.trim().toLowerCase();
  if (ecus.some(({ address }) => address.toLowerCase() === wanted)) return ecus;
  return ecus.filter((ecu) => `${ecu.address} ${ecu.name} ${ecu.part_number ?? ''}`.toLowerCase().includes(wanted));
}

/** The address of the only ECU of this name; any other text as it is. */
export function addressOf(ecus: readonly Ecu[], text: string): string {
  const called = ecus.filter((ecu) => ecuName(ecu).toLowerCase() === text.toLowerCase());
  return called.length === 1 && called[0] !== undefined ? called[0].address : text;
}

/** The name of the ECU that has this address; empty where none is known. */
export function nameAt(ecus: readonly Ecu[], address: string): string {
  const ecu = ecus.find((each) => each.address.toLowerCase() === address.toLowerCase());
  return ecu === undefined ? '' : ecuName(ecu);
}
