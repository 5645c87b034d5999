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
import { Time } from '../../components/Time';
import { ecuName } from '../../lib/ecu';
import { useMay } from '../../session/useSession';

const ACTIONS = [
  ['ReadDTC', 'Read faults'],
  ['ReadDataByID', 'Read data'],
] as const;

export function EcuTable({ vehicle }: { vehicle: Vehicle }) {
  const mayCommand = useMay('engineer');
  if (vehicle.ecus.length === 0) {
    return (
      <EmptyState title="No ECUs are known of this vehicle">
        One that dials in announces them when it connects; a scan finds out which answer.
      </EmptyState>
    );
  }
  return (
    <TableContainer>
      <Table size="small">
        <TableHead>
          <TableRow>
            <TableCell>Address</TableCell>
            <TableCell>Name</TableCell>
            <TableCell>Part number</TableCell>
            <TableCell>Software</TableCell>
            <TableCell>Hardware</TableCell>
            <TableCell>Scanned</TableCell>
            <TableCell align="right">Actions</TableCell>
          </TableRow>
        </TableHead>
        <TableBody>
          {vehicle.ecus.map((ecu) => (
            <TableRow key={ecu.address}>
              <TableCell>
                <Code>{ecu.address}</Code>
              </TableCell>
              <TableCell>{ecu.name}</TableCell>
              <TableCell>{ecu.part_number ?? '–'}</TableCell>
              <TableCell>{ecu.software_version ?? ecu.software_number ?? '–'}</TableCell>
              <TableCell>{ecu.hardware_version ?? ecu.hardware_number ?? '–'}</TableCell>
              <TableCell>
                <Time at={ecu.seen_at} style="relative" none="never" />
              </TableCell>
              <TableCell align="right">
                {mayCommand &&
                  ACTIONS.map(([type, label]) => (
                    <Button
                      key={type}
                      size="small"
                      component={RouterLink}
                      to={`/commands/new?vehicle=${vehicle.vehicle_id}&type=${type}&ecu=${ecu.address}`}
                      aria-label={`${label} of ${ecuName(ecu)} ${ecu.address}`}
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
