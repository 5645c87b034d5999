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
    queryFn: ({ signal }) => caughtUp(listOf(api.GET('/api/v1/vehicles', { params: { query }, signal })), patchList),
    placeholderData: keepPreviousData,
  });

export const vehicleQuery = (vehicleId: string) =>
  queryOptions({
    queryKey: detailKey(vehicleId),
    queryFn: ({ signal }) =>
      caughtUp(
        answerOf(api.GET('/api/v1/vehicles/{vehicle_id}', { params: { path: { vehicle_id: vehicleId } }, signal })),
        patchOne,
      ),
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

/** Of each read under way: what changed since it began, which its answer may not know yet. */
const changesSince = new Set<VehicleEvent[]>();

async function caughtUp<Data>(read: Promise<Data>, patch: (data: Data, event: VehicleEvent) => Data): Promise<Data> {
  const changes: VehicleEvent[] = [];
  changesSince.add(changes);
  try {
    return changes.reduce(patch, await read);
  } finally {
    changesSince.delete(changes);
  }
}

/** A change of its connection, its lock or why it is not reached, in every list and page that shows the vehicle. */
export function patchVehicle(queries: QueryClient, event: VehicleEvent): void {
  for (const changes of changesSince) changes.push(event);
  queries.setQueriesData<VehicleList>({ queryKey: listsKey }, (list) => list && patchList(list, event));
  queries.setQueryData<Vehicle>(detailKey(event.vehicleId), (vehicle) => vehicle && patchOne(vehicle, event));
}

function patchList(list: VehicleList, event: VehicleEvent): VehicleList {
  return { ...list, items: list.items.map((vehicle) => patchOne(vehicle, event)) };
}

function patchOne(vehicle: Vehicle, event: VehicleEvent): Vehicle {
  const { connectionStatus, lock, linkProblem, at } = event;
  if (vehicle.vehicle_id !== event.vehicleId) return vehicle;
  if (connectionStatus !== 'online' && connectionStatus !== 'offline') return vehicle;
  const wasThere = connectionStatus === 'online' || vehicle.connection_status === 'online';
  const seen = (wasThere ? at : undefined) ?? vehicle.last_seen_at;
  const link = { ...vehicle.link, problem: linkProblem };
  return { ...vehicle, connection_status: connectionStatus, link, lock, last_seen_at: seen };
}
