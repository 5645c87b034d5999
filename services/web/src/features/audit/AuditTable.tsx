import Button from '@mui/material/Button';
import Link from '@mui/material/Link';
import Table from '@mui/material/Table';
import TableBody from '@mui/material/TableBody';
import TableCell from '@mui/material/TableCell';
import TableContainer from '@mui/material/TableContainer';
import TableHead from '@mui/material/TableHead';
import TableRow from '@mui/material/TableRow';
import Typography from '@mui/material/Typography';
import { useState } from 'react';
import { Link as RouterLink } from 'react-router';
import { Code } from '../../components/Code';
import { Dot, type Tone } from '../../components/Dot';
import { Time } from '../../components/Time';
import { VisuallyHidden } from '../../components/VisuallyHidden';
import type { AuditEntry } from './queries';

export function AuditTable({ entries }: { entries: readonly AuditEntry[] }) {
  return (
    // What is hidden in it is placed within it: else a table that is scrolled would widen the page.
    <TableContainer tabIndex={0} role="region" aria-label="Audit trail" sx={{ position: 'relative' }}>
      <Table size="small">
        <TableHead>
          <TableRow>
            <TableCell>When</TableCell>
            <TableCell>Who</TableCell>
            <TableCell>Action</TableCell>
            <TableCell>Outcome</TableCell>
            <TableCell>On what</TableCell>
            <TableCell>Address</TableCell>
            <TableCell align="right">In the chain</TableCell>
            <TableCell>
              <VisuallyHidden>Details</VisuallyHidden>
            </TableCell>
          </TableRow>
        </TableHead>
        <TableBody>
          {entries.map((entry) => (
            <EntryRows key={entry.entry_id} entry={entry} />
          ))}
        </TableBody>
      </Table>
    </TableContainer>
  );
}

function EntryRows({ entry }: { entry: AuditEntry }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <TableRow hover>
        <TableCell>
          <Time at={entry.at} />
        </TableCell>
        <TableCell>{entry.actor_name ?? '–'}</TableCell>
        <TableCell>{entry.action}</TableCell>
        <TableCell>
          <Dot tone={OUTCOMES[entry.outcome] ?? 'neutral'}>{entry.outcome}</Dot>
        </TableCell>
        <TableCell>
          <Subject entry={entry} />
        </TableCell>
        <TableCell>{entry.remote_address ?? '–'}</TableCell>
        <TableCell align="right">{entry.chain_number ?? 'not yet'}</TableCell>
        <TableCell align="right">
          <Button size="small" aria-expanded={open} onClick={() => setOpen(!open)}>
            Details
          </Button>
        </TableCell>
      </TableRow>
      {open && (
        <TableRow>
          <TableCell colSpan={8}>
            <EntryDetails entry={entry} />
          </TableCell>
        </TableRow>
      )}
    </>
  );
}

const OUTCOMES: Readonly<Record<string, Tone>> = {
  success: 'success',
  completed: 'success',
  refused: 'warning',
  failure: 'error',
  failed: 'error',
};

const PAGES: Readonly<Record<string, string>> = { command: '/commands/', vehicle: '/vehicles/' };

function Subject({ entry: { subject_kind: kind, subject_id: id } }: { entry: AuditEntry }) {
  if (kind === null) return '–';
  const page = PAGES[kind];
  if (page === undefined || id === null) return kind.replaceAll('_', ' ');
  return (
    <Link component={RouterLink} to={page + id}>
      {kind}
    </Link>
  );
}

function EntryDetails({ entry }: { entry: AuditEntry }) {
  const lines = [
    ['entry', entry.entry_id],
    ['actor', entry.actor_id ?? '–'],
    ['subject', entry.subject_id ?? '–'],
    ['details', JSON.stringify(entry.details)],
    ['hash', entry.hash ?? 'not yet in the chain'],
  ] as const;
  return lines.map(([name, value]) => (
    <Typography key={name} variant="body2">
      {name}: <Code>{value}</Code>
    </Typography>
  ));
}
