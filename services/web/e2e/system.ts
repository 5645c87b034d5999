/**
 * The system that all browser tests talk to: every service a process, on real servers, started once for the run.
 *
 * Vitest calls what this exports before the first test and what that returns after the last one.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestProject } from 'vitest/node';
import { FAULTS, OFFLINE_VIN, SLOW_VIN, WAYS } from './vehicles';

export const REPOSITORY = resolve(import.meta.dirname, '../../..');
export const PYTHON = process.env.PYTHON ?? join(REPOSITORY, '.venv/bin/python');

interface Addresses {
  url: string;
  control: string;
  /** The VIN of the vehicle at the end of each way. */
  ways: Readonly<Record<string, string>>;
}

declare module 'vitest' {
  interface ProvidedContext {
    system: Addresses;
  }
}

export default async function start(project: TestProject): Promise<() => Promise<void>> {
  const vehicles = ['--vin', SLOW_VIN, '--away', OFFLINE_VIN, ...WAYS.flatMap((way) => ['--way', way])];
  const args = ['-m', 'tests.support.driven_system', ...vehicles, '--faults', FAULTS];
  const system = spawn(PYTHON, args, { cwd: REPOSITORY, stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(system, 'exit');
  for await (const line of createInterface(system.stdout)) {
    project.provide('system', JSON.parse(line) as Addresses);
    return async () => {
      system.stdin.end();
      await ended;
    };
  }
  throw new Error('the system did not start; its reason stands above');
}
