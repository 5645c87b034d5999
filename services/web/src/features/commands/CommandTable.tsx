import Link from '@mui/material/Link';
import Table from '@mui/material/Table';
import TableBody from '@mui/material/TableBody';
import TableCell from '@mui/material/TableCell';
import TableContainer from '@mui/material/TableContainer';
import TableHead from '@mui/material/TableHead';
import TableRow from '@mui/material/TableRow';
import Typography from '@mui/material/Typography';
import { Link as RouterLink } from 'react-router';
import type { Command, Vehicle } from '../../api/client';
import { Code } from '../../components/Code';
import { CommandStatusView } from '../../components/CommandStatus';
import { Time } from '../../components/Time';
import { formatDuration, secondsBetween } from '../../lib/time';
import { describeParams } from './describeParams';
import { useCommandNow } from './useCommandNow';

/** What a tablet has no room for. */
const WIDE_ONLY = { display: { xs: 'none', lg: 'table-cell' } };

interface CommandTableProps {
  commands: readonly Command[];
  label: string;
  /** Whose they all are, where that is one and need not be said. */
  vehicle?: Vehicle;
}

export function CommandTable({ commands, label, vehicle }: CommandTableProps) {
  return (
    <TableContainer tabIndex={0} role="region" aria-label={label}>
      <Table size="small">
        <TableHead>
          <TableRow>
            <TableCell>Command</TableCell>
            {vehicle === undefined && <TableCell>Vehicle</TableCell>}
            <TableCell>Status</TableCell>
            <TableCell align="right" sx={WIDE_ONLY}>
              Answers
            </TableCell>
            <TableCell align="right" sx={WIDE_ONLY}>
              Duration
            </TableCell>
            <TableCell>Sent</TableCell>
            <TableCell>By</TableCell>
          </TableRow>
        </TableHead>
        <TableBody>
          {commands.map((command) => (
            <CommandRow key={command.command_id} command={command} vehicle={vehicle} />
          ))}
        </TableBody>
      </Table>
    </TableContainer>
  );
}

function CommandRow({ command: listed, vehicle }: { command: Command; vehicle: Vehicle | undefined }) {
  const command = useCommandNow(listed);
  return (
    <TableRow hover>
      <TableCell>
        <Link component={RouterLink} to={`/commands/${command.command_id}`} sx={{ fontWeight: 550 }}>
          {command.command_name}
        </Link>
        <Typography
          variant="caption"
          color="textSecondary"
          noWrap
          sx={{ display: 'block', maxWidth: { xs: 190, lg: 260 } }}
        >
          {describeParams(command.command_params, vehicle?.ecus)}
        </Typography>
      </TableCell>
      {vehicle === undefined && (
        <TableCell>
          <Link component={RouterLink} to={`/vehicles/${command.vehicle_id}`} color="inherit" noWrap>
            <Code>{command.vin}</Code>
          </Link>
        </TableCell>
      )}
      <TableCell>
        <CommandStatusView status={command.status} />
        {command.error_code !== null && command.status !== 'cancelled' && (
          <Typography variant="caption" color="textSecondary" sx={{ display: 'block' }}>
            {command.nrc_name ?? command.error_code}
          </Typography>
        )}
      </TableCell>
      <TableCell align="right" sx={WIDE_ONLY}>
        {command.responses}
      </TableCell>
      <TableCell align="right" sx={{ ...WIDE_ONLY, whiteSpace: 'nowrap' }}>
        {command.completed_at === null ? '–' : formatDuration(secondsBetween(command.created_at, command.completed_at))}
      </TableCell>
      <TableCell>
        <Time at={command.created_at} />
      </TableCell>
      <TableCell>{command.username}</TableCell>
    </TableRow>
  );
}
