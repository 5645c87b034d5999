import Link from '@mui/material/Link';
import Table from '@mui/material/Table';
import TableBody from '@mui/material/TableBody';
import TableCell from '@mui/material/TableCell';
import TableContainer from '@mui/material/TableContainer';
import TableHead from '@mui/material/TableHead';
import TableRow from '@mui/material/TableRow';
import TableSortLabel from '@mui/material/TableSortLabel';
import { Link as RouterLink } from 'react-router';
import type { Vehicle } from '../../api/client';
import { Code } from '../../components/Code';
import { ConnectionStatus } from '../../components/ConnectionStatus';
import { Time } from '../../components/Time';
import { LinkProblemLine } from './LinkProblem';
import type { VehicleSort } from './queries';
import { nextSort, sortedBy, type SortColumn } from './sorting';

const COLUMNS: readonly (readonly [SortColumn | undefined, string])[] = [
  ['vin', 'VIN'],
  ['make', 'Make'],
  ['model', 'Model'],
  ['year', 'Year'],
  [undefined, 'Connection'],
  [undefined, 'ECUs'],
  ['last_seen_at', 'Last seen'],
];

interface VehicleTableProps {
  vehicles: readonly Vehicle[];
  sort: VehicleSort | undefined;
  onSort: (sort: VehicleSort) => void;
}

export function VehicleTable({ vehicles, sort, onSort }: VehicleTableProps) {
  return (
    <TableContainer tabIndex={0} role="region" aria-label="Vehicles">
      <Table size="small">
        <TableHead>
          <TableRow>
            {COLUMNS.map(([column, label]) => (
              <ColumnHead key={label} column={column} label={label} sort={sort} onSort={onSort} />
            ))}
          </TableRow>
        </TableHead>
        <TableBody>
          {vehicles.map((vehicle) => (
            <VehicleRow key={vehicle.vehicle_id} vehicle={vehicle} />
          ))}
        </TableBody>
      </Table>
    </TableContainer>
  );
}

interface ColumnHeadProps extends Omit<VehicleTableProps, 'vehicles'> {
  column: SortColumn | undefined;
  label: string;
}

function ColumnHead({ column, label, sort, onSort }: ColumnHeadProps) {
  if (column === undefined) return <TableCell>{label}</TableCell>;
  const sorted = sortedBy(sort);
  const active = sorted.column === column;
  const direction = active && sorted.descending ? 'desc' : 'asc';
  return (
    <TableCell sortDirection={active && direction}>
      <TableSortLabel active={active} direction={direction} onClick={() => onSort(nextSort(sort, column))}>
        {label}
      </TableSortLabel>
    </TableCell>
  );
}

function VehicleRow({ vehicle }: { vehicle: Vehicle }) {
  return (
    <TableRow hover>
      <TableCell>
        <Link component={RouterLink} to={`/vehicles/${vehicle.vehicle_id}`} noWrap>
          <Code>{vehicle.vin}</Code>
        </Link>
      </TableCell>
      <TableCell>{vehicle.make}</TableCell>
      <TableCell>{vehicle.model}</TableCell>
      <TableCell>{vehicle.year}</TableCell>
      <TableCell>
        <ConnectionStatus status={vehicle.connection_status} />
        <LinkProblemLine vehicle={vehicle} />
      </TableCell>
      <TableCell>{vehicle.ecus.length === 0 ? '–' : vehicle.ecus.length}</TableCell>
      <TableCell>
        <Time at={vehicle.last_seen_at} style="relative" none="never" />
      </TableCell>
    </TableRow>
  );
}
