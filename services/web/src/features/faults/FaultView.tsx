import Box from '@mui/material/Box';
import Chip from '@mui/material/Chip';
import Stack from '@mui/material/Stack';
import Typography from '@mui/material/Typography';
import { Code } from '../../components/Code';
import { Dot, type Tone } from '../../components/Dot';
import type { Change } from './compareReadings';
import { severityLabel, STATUS_BITS, type Fault, type StatusBit } from './fault';

const SEVERITY_TONES: Readonly<Record<number, Tone>> = { 1: 'error', 2: 'error', 3: 'warning', 4: 'info' };
const CHANGES: Readonly<Record<Change, { label: string; tone: Tone }>> = {
  new: { label: 'New', tone: 'error' },
  gone: { label: 'Gone', tone: 'success' },
  changed: { label: 'Changed', tone: 'warning' },
  same: { label: 'As before', tone: 'neutral' },
};

interface FaultViewProps {
  fault: Fault;
  change?: Change | undefined;
  changedBits?: ReadonlySet<StatusBit>;
}

/** One fault: its code, text and severity, and the status bits that are set, spelled out. */
export function FaultView({ fault, change, changedBits }: FaultViewProps) {
  return (
    <Box sx={{ py: 1, opacity: change === 'gone' ? 0.85 : 1 }}>
      <Stack direction="row" sx={{ gap: 1.5, alignItems: 'baseline', flexWrap: 'wrap' }}>
        <Typography component="span" sx={{ fontWeight: 650 }}>
          <Code>{fault.displayCode}</Code>
        </Typography>
        <Typography component="span" variant="body2" sx={{ flexGrow: 1, minWidth: 200 }}>
          {fault.name ?? 'No text for this code'}
        </Typography>
        {fault.severity !== undefined && (
          <Typography component="span" variant="body2">
            <Dot tone={SEVERITY_TONES[fault.severity] ?? 'neutral'}>{severityLabel(fault.severity)}</Dot>
          </Typography>
        )}
        {change !== undefined && <Chip size="small" variant="outlined" {...changeChip(change)} />}
      </Stack>
      {change !== 'gone' && <StatusBits fault={fault} changedBits={changedBits} />}
    </Box>
  );
}

function changeChip(change: Change) {
  const { label, tone } = CHANGES[change];
  return { label, color: tone === 'neutral' ? 'default' : tone } as const;
}

function StatusBits({ fault, changedBits }: { fault: Fault; changedBits: ReadonlySet<StatusBit> | undefined }) {
  const shown = STATUS_BITS.filter(([bit]) => fault.status.has(bit) || changedBits?.has(bit) === true);
  return (
    <Stack
      direction="row"
      component="ul"
      aria-label="Status"
      sx={{ listStyle: 'none', p: 0, m: 0, mt: 0.75, gap: 0.75, flexWrap: 'wrap' }}
    >
      {shown.map(([bit, label]) => (
        <li key={bit}>
          <Chip
            size="small"
            variant={changedBits?.has(bit) === true ? 'filled' : 'outlined'}
            label={bitText(fault, bit, label)}
          />
        </li>
      ))}
      {shown.length === 0 && (
        <Typography component="li" variant="caption" color="textSecondary">
          No status bit is set
        </Typography>
      )}
      {fault.rawStatus !== undefined && (
        <Typography component="li" variant="caption" color="textSecondary" sx={{ alignSelf: 'center' }}>
          <Code>{fault.rawStatus}</Code>
        </Typography>
      )}
    </Stack>
  );
}

/** A bit that is shown without being set was set in the reading before. */
function bitText(fault: Fault, bit: StatusBit, label: string): string {
  return fault.status.has(bit) ? label : `No longer: ${label.toLowerCase()}`;
}
