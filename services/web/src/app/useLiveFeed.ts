import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { liveFeed } from '../live/feed';
import { summaryKey } from '../features/dashboard/queries';
import { patchVehicle, vehiclesKey } from '../features/vehicles/queries';

/** A fleet that comes back changes hundreds of times a second; its numbers need not be read as often. */
const NUMBERS_MS = 1_000;

/** Keeps the feed open while somebody is logged in, and vehicles' connection states as they are. */
export function useLiveFeed(): void {
  const queries = useQueryClient();
  useEffect(() => {
    let reading: ReturnType<typeof setTimeout> | undefined;
    const readNumbers = () => {
      reading = undefined;
      // A read that takes longer than the next change is not begun anew: it would never end.
      void queries.invalidateQueries({ queryKey: summaryKey }, { cancelRefetch: false });
    };
    liveFeed.start();
    const unwatch = liveFeed.watchVehicles({
      onChange: (event) => {
        patchVehicle(queries, event);
        reading ??= setTimeout(readNumbers, NUMBERS_MS);
      },
      // The dashboard's numbers are read every few seconds anyway.
      onResync: () => void queries.invalidateQueries({ queryKey: vehiclesKey }),
    });
    return () => {
      clearTimeout(reading);
      unwatch();
      liveFeed.stop();
    };
  }, [queries]);
}
