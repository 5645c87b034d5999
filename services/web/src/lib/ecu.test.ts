import { expect, it } from 'vitest';
import { anEcu } from '../testing/samples';
import { addressOf, ecuLabel, matchingEcus, nameAt } from './ecu';

const ENGINE = anEcu();
const NAMELESS = anEcu({ address: '0x1010', name: '', part_number: 'A2749004' });
const UNKNOWN = anEcu({ address: '0x28', name: '' });
const ALL = [ENGINE, NAMELESS, UNKNOWN];

it('calls an ECU by its name, its part number, or only its address', () => {
  expect(ALL.map(ecuLabel)).toEqual(['0x10 · ECM', '0x1010 · A2749004', '0x28']);
});

it('finds ECUs by what is typed of their address, name or part number', () => {
  expect(matchingEcus(ALL, 'ec')).toEqual([ENGINE]);
  expect(matchingEcus(ALL, '0x10')).toEqual(ALL);
  expect(matchingEcus(ALL, 'A274')).toEqual([NAMELESS]);
  expect(matchingEcus(ALL, 'ABS')).toEqual([]);
});

it('turns a name into the address, where only one ECU has it', () => {
  expect(addressOf(ALL, 'ecm')).toBe('0x10');
  expect(addressOf([ENGINE, anEcu({ address: '0x18' })], 'ECM')).toBe('ECM');
  expect(addressOf(ALL, '0x99')).toBe('0x99');
});

it('knows the name at an address, however that is written', () => {
  expect(nameAt(ALL, '0X10')).toBe('ECM');
  expect(nameAt(ALL, '0x28')).toBe('');
  expect(nameAt(ALL, '0x99')).toBe('');
});
