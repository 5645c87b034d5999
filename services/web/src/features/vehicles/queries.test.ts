import { QueryClient } from '@tanstack/react-query';
import { beforeEach, expect, it, vi } from 'vitest';
import { aVehicle } from '../../testing/samples';
import { patchVehicle, vehicleQuery, vehiclesQuery } from './queries';

const server = vi.hoisted(() => ({ answer: vi.fn<(body: unknown) => void>() }));
vi.mock('../../api/client', () => {
  const api = { GET: () => new Promise((answer) => server.answer.mockImplementation(answer)) };
  const asIs = (call: Promise<unknown>) => call;
  return { api, answerOf: asIs, listOf: asIs };
});

const OFFLINE = aVehicle({ connection_status: 'offline' });
const OTHER = aVehicle({ vehicle_id: 'other', connection_status: 'offline' });
const online = (vehicleId: string) =>
  ({ kind: 'vehicle', vehicleId, connectionStatus: 'online', lock: null, linkProblem: null, at: undefined }) as const;

let queries: QueryClient;
beforeEach(() => {
  queries = new QueryClient();
});

it('a list that was read before a change does not take it back', async () => {
  const read = queries.query(vehiclesQuery({}));
  patchVehicle(queries, online(OFFLINE.vehicle_id));
  server.answer({ items: [OFFLINE, OTHER], next_cursor: null });
  await read;
  const items = [{ ...OFFLINE, connection_status: 'online' }, OTHER];
  expect(queries.getQueryData(vehiclesQuery({}).queryKey)).toEqual({ items, next_cursor: null });
});

it('nor does a vehicle’s page', async () => {
  const query = vehicleQuery(OFFLINE.vehicle_id);
  const read = queries.query(query);
  patchVehicle(queries, online('other'));
  patchVehicle(queries, online(OFFLINE.vehicle_id));
  server.answer(OFFLINE);
  await read;
  expect(queries.getQueryData(query.queryKey)).toEqual({ ...OFFLINE, connection_status: 'online' });
});

it('a list that was read after a change is taken as it is', async () => {
  patchVehicle(queries, online(OFFLINE.vehicle_id));
  const read = queries.query(vehiclesQuery({}));
  server.answer({ items: [OFFLINE], next_cursor: null });
  expect((await read).items).toEqual([OFFLINE]);
});
