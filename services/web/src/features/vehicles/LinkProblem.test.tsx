import { QueryClient } from '@tanstack/react-query';
import { render, screen } from '@testing-library/react';
import { MemoryRouter } from 'react-router';
import { expect, it, vi } from 'vitest';
import { aVehicle } from '../../testing/samples';
import { LinkProblemNotice } from './LinkProblem';
import { detailKey, patchVehicle, vehiclesKey } from './queries';
import { VehicleTable } from './VehicleTable';

const PROBLEM = { reason: '192.0.2.10:13400: Connection refused', since: '2026-01-31T12:00:00Z' };
const LINK = { kind: 'doip', address: '192.0.2.10', problem: PROBLEM };
const UNREACHED = aVehicle({ connection_status: 'offline', link: LINK });

it('the page says why a vehicle is not reached and since when', () => {
  render(<LinkProblemNotice vehicle={UNREACHED} />);
  expect(screen.getByRole('alert')).toHaveTextContent(
    /^The vehicle has not been reached since .+\. 192\.0\.2\.10:13400: Connection refused\.$/,
  );
});

it('it says nothing of a vehicle without a problem', () => {
  render(<LinkProblemNotice vehicle={aVehicle()} />);
  expect(screen.queryByRole('alert')).toBeNull();
});

it('the list says it of the vehicle that has it', () => {
  const vehicles = [aVehicle({ vehicle_id: 'other' }), UNREACHED];
  render(
    <MemoryRouter>
      <VehicleTable vehicles={vehicles} sort={undefined} onSort={vi.fn()} />
    </MemoryRouter>,
  );
  const [, reached, unreached] = screen.getAllByRole('row');
  expect(reached).not.toHaveTextContent(PROBLEM.reason);
  expect(unreached).toHaveTextContent(PROBLEM.reason);
});

it('a change of it is shown in lists and on its page as it comes, and is no sign of life', () => {
  const queries = new QueryClient();
  const list = [...vehiclesKey, 'list', {}];
  const vehicle = aVehicle({ connection_status: 'offline', link: { ...LINK, problem: null } });
  queries.setQueryData(list, { items: [vehicle], next_cursor: null });
  queries.setQueryData(detailKey(vehicle.vehicle_id), vehicle);
  const event = { kind: 'vehicle', vehicleId: vehicle.vehicle_id, connectionStatus: 'offline', lock: null } as const;
  patchVehicle(queries, { ...event, linkProblem: PROBLEM, at: '2026-02-01T12:00:00Z' });
  expect(queries.getQueryData(detailKey(vehicle.vehicle_id))).toEqual(UNREACHED);
  expect(queries.getQueryData(list)).toEqual({ items: [UNREACHED], next_cursor: null });
});
