import type { QueryClient } from '@tanstack/react-query';
import { summaryKey } from '../dashboard/queries';
import { detailKey, faultMemoryKey } from '../vehicles/queries';
import { commandsKey } from './queries';

/** What the end of a command may have changed: lists, numbers, and what is kept of its vehicle. */
export function readAgain(queries: QueryClient, vehicleId: string): void {
  for (const queryKey of [[...commandsKey, 'list'], summaryKey, detailKey(vehicleId), faultMemoryKey(vehicleId)]) {
    void queries.invalidateQueries({ queryKey });
  }
}
