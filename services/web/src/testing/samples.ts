/** What the API answers, with what a test is about. */
import type { Command, CommandType, Vehicle } from '../api/client';

export function aVehicle(changes: Partial<Vehicle> = {}): Vehicle {
  return {
    vehicle_id: '0197f6a4-3b52-7cc1-9d7f-2a6a5f0e3b10',
    vin: 'WDD1234567890ABCD',
    make: 'Mercedes',
    model: 'E-Class',
    year: 2024,
    link: { kind: 'session', address: null, problem: null },
    connection_status: 'online',
    last_seen_at: '2026-01-31T12:00:00Z',
    created_at: '2026-01-30T12:00:00Z',
    ecus: [anEcu()],
    lock: null,
    ...changes,
  };
}

export function anEcu(changes: Partial<Vehicle['ecus'][number]> = {}): Vehicle['ecus'][number] {
  return {
    address: '0x10',
    name: 'ECM',
    part_number: null,
    software_number: null,
    software_version: null,
    hardware_number: null,
    hardware_version: null,
    serial_number: null,
    vin: null,
    seen_at: null,
    ...changes,
  };
}

export function aCommandType(changes: Partial<CommandType> = {}): CommandType {
  return {
    name: 'ReadDTC',
    description: 'Read the fault memory of an ECU',
    command_class: 'read',
    repeatable: true,
    default_timeout_seconds: 30,
    parameters_schema: {
      type: 'object',
      properties: { ecuAddress: { type: 'string', pattern: '^0x[0-9A-F]+$', description: 'Address of the ECU' } },
      required: ['ecuAddress'],
      additionalProperties: false,
    },
    response_schema: {},
    preconditions: [],
    ...changes,
  };
}

export function aCommand(changes: Partial<Command> = {}): Command {
  return {
    command_id: '01970c3a-6f2e-7d5a-8c1b-0a4f5e6d7c8b',
    status: 'in_progress',
    vehicle_id: '0197f6a4-3b52-7cc1-9d7f-2a6a5f0e3b10',
    vin: 'WDD1234567890ABCD',
    command_name: 'ReadDTC',
    command_params: { ecuAddress: '0x10' },
    command_class: 'read',
    repeatable: true,
    user_id: '8b0f0c62-8f0a-4f3c-9a52-0c1c7b1f5c11',
    username: 'engineer',
    priority: 0,
    timeout_seconds: 30,
    attempt: 1,
    responses: 0,
    revision: 3,
    created_at: '2026-01-31T12:00:00Z',
    expires_at: '2026-01-31T12:15:00Z',
    dispatched_at: '2026-01-31T12:00:00.010Z',
    started_at: '2026-01-31T12:00:00.020Z',
    completed_at: null,
    error_code: null,
    error_message: null,
    nrc: null,
    nrc_name: null,
    cancel_outcome: null,
    cancel_requested_by: null,
    held_back: null,
    trace_id: '0af7651916cd43dd8448eb211c80319c',
    ...changes,
  };
}
