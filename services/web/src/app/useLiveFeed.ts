import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { liveFeed } from '../live/feed';
import { summaryKey } from '../features/dashboard/queries';
import { patchVehicle, vehiclesKey } from '../features/vehicles/queries';

/** Keeps the feed open while somebody is logged in, and vehicles' connection states as they are. */
export function useLiveFeed(): void {
  const queries = useQueryClient();
  useEffect(() => {
    liveFeed.start();
    const unwatch = liveFeed.watchVehicles({
      onChange: (event) => {
        patchVehicle(queries, event);
        void queries.invalidateQueries({ queryKey: summaryKey });
      },
      // The dashboard's numbers are read every few seconds anyway.
      onResync: () => void queries.invalidateQueries({ queryKey: vehiclesKey }),
    });
    return () => {
      unwatch();
      liveFeed.stop();
    };
  }, [queries]);
}
