import type { CommandType } from '../../api/client';

/** What a command that cannot be taken back does to the vehicle, for the confirmation. */
const EFFECTS: Readonly<Record<string, string>> = {
  ClearDTC: 'Stored faults with their snapshots are erased from the ECU. They cannot be brought back.',
  WriteDataByID: 'The value in the ECU is overwritten. The old one is not kept.',
  RoutineControl: 'The ECU carries out the routine; parts of the vehicle may move or switch.',
  ECUReset: 'The ECU restarts. Its functions are away for a moment.',
};

export function effectOf(type: CommandType): string {
  return EFFECTS[type.name] ?? type.description;
}

const CLASSES: Readonly<Record<string, string>> = {
  read: 'reads only',
  write: 'changes what is stored',
  actuate: 'makes the vehicle act',
};

export function classLabel(commandClass: string): string {
  return CLASSES[commandClass] ?? commandClass;
}
