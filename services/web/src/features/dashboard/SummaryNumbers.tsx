import Box from '@mui/material/Box';
import Card from '@mui/material/Card';
import CardActionArea from '@mui/material/CardActionArea';
import Skeleton from '@mui/material/Skeleton';
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

const OF_THE_DAY = 'of the last 24 hours';

/** Each number leads to the list it counts. */
export function SummaryNumbers({ summary }: { summary: Summary }) {
  const { vehicles, commands, duration_seconds: duration } = summary;
  const count = (statuses: readonly CommandStatus[]) =>
    statuses.reduce((sum, status) => sum + commands.by_status[status], 0);
  const ofAll = `of ${(vehicles.online + vehicles.offline).toLocaleString()}`;
  return (
    <FigureGrid>
      <Figure
        label="Vehicles online"
        tone="success"
        value={vehicles.online}
        note={ofAll}
        to="/vehicles?status=online"
      />
      <Figure
        label="Vehicles offline"
        tone="neutral"
        value={vehicles.offline}
        note={ofAll}
        to="/vehicles?status=offline"
      />
      <Figure
        label="Waiting for offline vehicles"
        tone="warning"
        value={commands.waiting_for_offline_vehicles}
        note="commands"
        to="/commands?status=pending"
      />
      <Figure label="Under way" tone="primary" value={count(UNDER_WAY)} to={recentCommands(UNDER_WAY)} />
      <Figure
        label="Completed"
        tone="success"
        value={commands.by_status.completed}
        to={recentCommands(['completed'])}
      />
      <Figure label="Not completed" tone="error" value={count(NOT_COMPLETED)} to={recentCommands(NOT_COMPLETED)} />
      <Figure label="Median duration" value={durationText(duration.p50)} to={recentCommands(['completed'])} />
      <Figure label="95th percentile" value={durationText(duration.p95)} to={recentCommands(['completed'])} />
    </FigureGrid>
  );
}

const FIGURES = 8;

/** Takes the place of the numbers, so that nothing moves when they come. */
export function NumbersLoading() {
  return (
    <FigureGrid>
      {Array.from({ length: FIGURES }, (_, place) => (
        <Skeleton key={place} variant="rounded" height={FIGURE_HEIGHT} />
      ))}
    </FigureGrid>
  );
}

const FIGURE_HEIGHT = 102;

function FigureGrid({ children }: { children: ReactNode }) {
  const columns = { xs: 'repeat(2, 1fr)', md: 'repeat(4, 1fr)' };
  return <Box sx={{ display: 'grid', gap: 2, gridTemplateColumns: columns }}>{children}</Box>;
}

interface FigureProps {
  label: string;
  tone?: Tone;
  value: ReactNode;
  /** What the number is of. */
  note?: string;
  to: string;
}

function Figure({ label, tone, value, note = OF_THE_DAY, to }: FigureProps) {
  return (
    <Card>
      <CardActionArea component={RouterLink} to={to} sx={{ px: 2, py: 1.5, minHeight: FIGURE_HEIGHT }}>
        <Typography variant="body2" color="textSecondary" component="div">
          {tone === undefined ? label : <Dot tone={tone}>{label}</Dot>}
        </Typography>
        <Typography
          component="div"
          sx={{ fontSize: '1.75rem', fontWeight: 650, lineHeight: 1.3, fontVariantNumeric: 'tabular-nums' }}
        >
          {typeof value === 'number' ? value.toLocaleString() : value}
        </Typography>
        <Typography component="div" variant="caption" color="textSecondary">
          {note}
        </Typography>
      </CardActionArea>
    </Card>
  );
}

function durationText(seconds: number | null): string {
  return seconds === null ? '–' : formatDuration(seconds);
}
