import { queryOptions, keepPreviousData, type QueryClient } from '@tanstack/react-query';
import { answerOf, api, listOf, type Vehicle } from '../../api/client';
import type { components, paths } from '../../api/generated/schema';
import type { VehicleEvent } from '../../live/events';

export const vehiclesKey = ['vehicles'] as const;
const listsKey = [...vehiclesKey, 'list'] as const;

export type VehicleQuery = NonNullable<paths['/api/v1/vehicles']['get']['parameters']['query']>;
export type VehicleSort = NonNullable<VehicleQuery['sort']>;
type VehicleList = components['schemas']['VehicleList'];

export const detailKey = (vehicleId: string) => [...vehiclesKey, 'detail', vehicleId] as const;
export const faultMemoryKey = (vehicleId: string) => ['fault-memory', vehicleId] as const;

export const vehiclesQuery = (query: VehicleQuery) =>
  queryOptions({
    queryKey: [...listsKey, query],
    queryFn: ({ signal }) => listOf(api.GET('/api/v1/vehicles', { params: { query }, signal })),
    placeholderData: keepPreviousData,
  });

export const vehicleQuery = (vehicleId: string) =>
  queryOptions({
    queryKey: detailKey(vehicleId),
    queryFn: ({ signal }) =>
      answerOf(api.GET('/api/v1/vehicles/{vehicle_id}', { params: { path: { vehicle_id: vehicleId } }, signal })),
    // While it is online, "last seen" goes on.
    refetchInterval: 30_000,
  });

export const faultMemoryQuery = (vehicleId: string) =>
  queryOptions({
    queryKey: faultMemoryKey(vehicleId),
    queryFn: ({ signal }) =>
      answerOf(
        api.GET('/api/v1/vehicles/{vehicle_id}/fault-memory', { params: { path: { vehicle_id: vehicleId } }, signal }),
      ),
  });

/** A change of its connection, its lock or why it is not reached, in every list and page that shows the vehicle. */
export function patchVehicle(queries: QueryClient, event: VehicleEvent): void {
  const { connectionStatus, lock, linkProblem, at } = event;
  if (connectionStatus !== 'online' && connectionStatus !== 'offline') return;
  const patch = (vehicle: Vehicle): Vehicle => {
    if (vehicle.vehicle_id !== event.vehicleId) return vehicle;
    const wasThere = connectionStatus === 'online' || vehicle.connection_status === 'online';
    const seen = (wasThere ? at : undefined) ?? vehicle.last_seen_at;
    const link = { ...vehicle.link, problem: linkProblem };
    return { ...vehicle, connection_status: connectionStatus, link, lock, last_seen_at: seen };
  };
  queries.setQueriesData<VehicleList>(
    { queryKey: listsKey },
    (list) => list && { ...list, items: list.items.map(patch) },
  );
  queries.setQueryData<Vehicle>(detailKey(event.vehicleId), (vehicle) => vehicle && patch(vehicle));
}
