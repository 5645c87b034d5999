import Box from '@mui/material/Box';
import Card from '@mui/material/Card';
import CardActionArea from '@mui/material/CardActionArea';
import Typography from '@mui/material/Typography';
import type { ReactNode } from 'react';
import { Link as RouterLink } from 'react-router';
import type { CommandStatus } from '../../api/client';
import { Dot, type Tone } from '../../components/Dot';
import { formatDuration } from '../../lib/time';
import { recentCommands } from './links';
import type { Summary } from './queries';

const UNDER_WAY: readonly CommandStatus[] = ['pending', 'dispatched', 'in_progress'];
const NOT_COMPLETED: readonly CommandStatus[] = ['failed', 'timed_out', 'expired'];

/** Each number leads to the list it counts. */
export function SummaryNumbers({ summary }: { summary: Summary }) {
  const { vehicles, commands, duration_seconds: duration } = summary;
  const count = (statuses: readonly CommandStatus[]) =>
    statuses.reduce((sum, status) => sum + commands.by_status[status], 0);
  return (
    <Box sx={{ display: 'grid', gap: 2, gridTemplateColumns: 'repeat(auto-fill, minmax(235px, 1fr))' }}>
      <Figure label="Vehicles online" tone="success" value={vehicles.online} to="/vehicles?status=online" />
      <Figure label="Vehicles offline" tone="neutral" value={vehicles.offline} to="/vehicles?status=offline" />
      <Figure
        label="Completed"
        tone="success"
        value={commands.by_status.completed}
        to={recentCommands(['completed'])}
      />
      <Figure label="Not completed" tone="error" value={count(NOT_COMPLETED)} to={recentCommands(NOT_COMPLETED)} />
      <Figure label="Under way" tone="primary" value={count(UNDER_WAY)} to={recentCommands(UNDER_WAY)} />
      <Figure
        label="Waiting for offline vehicles"
        tone="warning"
        value={commands.waiting_for_offline_vehicles}
        to="/commands?status=pending"
      />
      <Figure label="Median duration" value={durationText(duration.p50)} to={recentCommands(['completed'])} />
      <Figure label="95th percentile" value={durationText(duration.p95)} to={recentCommands(['completed'])} />
    </Box>
  );
}

interface FigureProps {
  label: string;
  tone?: Tone;
  value: ReactNode;
  to: string;
}

function Figure({ label, tone, value, to }: FigureProps) {
  return (
    <Card>
      <CardActionArea component={RouterLink} to={to} sx={{ p: 2 }}>
        <Typography variant="body2" color="textSecondary" component="div">
          {tone === undefined ? label : <Dot tone={tone}>{label}</Dot>}
        </Typography>
        <Typography
          component="div"
          sx={{ fontSize: '1.75rem', fontWeight: 650, lineHeight: 1.3, fontVariantNumeric: 'tabular-nums' }}
        >
          {typeof value === 'number' ? value.toLocaleString() : value}
        </Typography>
      </CardActionArea>
    </Card>
  );
}

function durationText(seconds: number | null): string {
  return seconds === null ? '–' : formatDuration(seconds);
}
