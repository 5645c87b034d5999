import Button from '@mui/material/Button';
import Table from '@mui/material/Table';
import TableBody from '@mui/material/TableBody';
import TableCell from '@mui/material/TableCell';
import TableContainer from '@mui/material/TableContainer';
import TableHead from '@mui/material/TableHead';
import TableRow from '@mui/material/TableRow';
import { Link as RouterLink } from 'react-router';
import type { Vehicle } from '../../api/client';
import { Code } from '../../components/Code';
import { EmptyState } from '../../components/states';
import { useMay } from '../../session/useSession';

const ACTIONS = [
  ['ReadDTC', 'Read faults'],
  ['ReadDataByID', 'Read data'],
] as const;

export function EcuTable({ vehicle }: { vehicle: Vehicle }) {
  const mayCommand = useMay('engineer');
  if (vehicle.ecus.length === 0) {
    return <EmptyState title="The vehicle has not announced its ECUs">It does so when it connects.</EmptyState>;
  }
  return (
    <TableContainer>
      <Table size="small">
        <TableHead>
          <TableRow>
            <TableCell>Address</TableCell>
            <TableCell>Name</TableCell>
            <TableCell align="right">Actions</TableCell>
          </TableRow>
        </TableHead>
        <TableBody>
          {vehicle.ecus.map(({ address, name }) => (
            <TableRow key={address}>
              <TableCell>
                <Code>{address}</Code>
              </TableCell>
              <TableCell>{name}</TableCell>
              <TableCell align="right">
                {mayCommand &&
                  ACTIONS.map(([type, label]) => (
                    <Button
                      key={type}
                      size="small"
                      component={RouterLink}
                      to={`/commands/new?vehicle=${vehicle.vehicle_id}&type=${type}&ecu=${address}`}
                      aria-label={`${label} of ${name} ${address}`}
                    >
                      {label}
                    </Button>
                  ))}
              </TableCell>
            </TableRow>
          ))}
        </TableBody>
      </Table>
    </TableContainer>
  );
}
