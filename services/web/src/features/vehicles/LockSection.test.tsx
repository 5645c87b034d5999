import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { render, screen } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, expect, it, vi } from 'vitest';
import { session, type User } from '../../session/session';
import { aCommand, aCommandType, aVehicle } from '../../testing/samples';
import { HeldBackNotice } from '../command/HeldBackNotice';
import { LockNotice } from '../new-command/LockNotice';
import { LockSection } from './LockSection';
import { detailKey, patchVehicle } from './queries';

const calls = vi.hoisted(() => vi.fn((method: string, options: unknown) => [method, options]));
vi.mock('../../api/client', () => ({
  api: {
    POST: (_: string, options: object) => calls('POST', options),
    PATCH: (_: string, options: object) => calls('PATCH', options),
    DELETE: (_: string, options: object) => calls('DELETE', options),
    GET: vi.fn(),
  },
  answerOf: () => Promise.resolve(undefined),
}));

const USER: User = { user_id: 'me', username: 'me', role: 'engineer', email: '', full_name: '', is_active: true };
const SOON = new Date(Date.now() + 600_000).toISOString();
const LOCK = { owner: 'Olivia', owner_id: 'olivia', taken_at: SOON, expires_at: SOON };
const OWN = { ...LOCK, owner: 'me', owner_id: 'me' };

afterEach(() => {
  calls.mockClear();
});

function show(part: React.ReactNode, role: User['role'] = 'engineer', queries = new QueryClient()) {
  session.state.set({ phase: 'signed-in', user: { ...USER, role } });
  render(<QueryClientProvider client={queries}>{part}</QueryClientProvider>);
}

const press = (name: string) => userEvent.click(screen.getByRole('button', { name }));
const buttons = () => screen.queryAllByRole('button').map((button) => button.textContent);
const PATH = { path: { vehicle_id: aVehicle().vehicle_id } };

it('a free vehicle can be locked by who may change it', async () => {
  show(<LockSection vehicle={aVehicle()} />);
  expect(screen.getByRole('status')).toHaveTextContent('Nobody has locked this vehicle.');
  await press('Lock for 15 minutes');
  expect(calls).toHaveBeenCalledWith('POST', { params: PATH });
});

it('its owner renews and releases it', async () => {
  show(<LockSection vehicle={aVehicle({ lock: OWN })} />);
  expect(screen.getByRole('status')).toHaveTextContent('You have locked this vehicle until');
  await press('15 minutes from now');
  expect(calls).toHaveBeenCalledWith('PATCH', { params: PATH });
  await press('Release');
  expect(calls).toHaveBeenLastCalledWith('DELETE', { params: { ...PATH, query: { break: false } } });
});

it('an admin breaks that of others, once asked', async () => {
  show(<LockSection vehicle={aVehicle({ lock: LOCK })} />, 'admin');
  await press('Break the lock…');
  expect(calls).not.toHaveBeenCalled();
  await press('Break the lock');
  expect(calls).toHaveBeenCalledWith('DELETE', { params: { ...PATH, query: { break: true } } });
});

it.each([
  ['viewer', null],
  ['viewer', LOCK],
  ['engineer', LOCK],
] as const)('a %s can do nothing about %o', (role, lock) => {
  show(<LockSection vehicle={aVehicle({ lock })} />, role);
  expect(buttons()).toEqual([]);
});

it('a lock whose time is up is none', () => {
  show(<LockSection vehicle={aVehicle({ lock: { ...LOCK, expires_at: '2026-01-31T12:00:00Z' } })} />);
  expect(screen.getByRole('status')).toHaveTextContent('Nobody has locked this vehicle.');
});

const CLEAR = aCommandType({ name: 'ClearDTC', command_class: 'write' });

it('a new command that would be refused says so and by whom', () => {
  show(<LockNotice vehicle={aVehicle({ lock: LOCK })} type={CLEAR} />);
  expect(screen.getByRole('alert')).toHaveTextContent(/^Olivia has locked this vehicle until .* would be refused/);
});

it.each([
  ['reads', LOCK, aCommandType()],
  ['is the owner’s', OWN, CLEAR],
  ['goes to a free vehicle', null, CLEAR],
] as const)('one that %s is not warned of', (_, lock, type) => {
  show(<LockNotice vehicle={aVehicle({ lock })} type={type} />);
  expect(screen.queryByRole('alert')).toBeNull();
});

it('a command that waits says who holds it back, until the lock ends', async () => {
  const queries = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity } } });
  const vehicle = aVehicle({ lock: LOCK });
  queries.setQueryData(detailKey(vehicle.vehicle_id), vehicle);
  const command = aCommand({ command_class: 'write', user_id: 'me' });
  show(<HeldBackNotice command={command} status="pending" />, 'engineer', queries);
  expect(screen.getByRole('alert')).toHaveTextContent(/^Olivia has locked the vehicle until/);
  patchVehicle(queries, {
    kind: 'vehicle',
    vehicleId: vehicle.vehicle_id,
    connectionStatus: 'online',
    lock: null,
    linkProblem: null,
    at: undefined,
  });
  await vi.waitFor(() => expect(screen.queryByRole('alert')).toBeNull());
});

it('a change of the lock is no sign of life of a vehicle that is away', () => {
  const queries = new QueryClient();
  const vehicle = aVehicle({ connection_status: 'offline' });
  queries.setQueryData(detailKey(vehicle.vehicle_id), vehicle);
  const event = { kind: 'vehicle', vehicleId: vehicle.vehicle_id, connectionStatus: 'offline', at: SOON } as const;
  patchVehicle(queries, { ...event, lock: LOCK, linkProblem: null });
  expect(queries.getQueryData(detailKey(vehicle.vehicle_id))).toEqual({ ...vehicle, lock: LOCK });
});
