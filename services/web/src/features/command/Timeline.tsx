import Box from '@mui/material/Box';
import Stack from '@mui/material/Stack';
import Typography from '@mui/material/Typography';
import type { Command } from '../../api/client';
import { CommandStatusView } from '../../components/CommandStatus';
import { Time } from '../../components/Time';
import { formatDuration, secondsBetween } from '../../lib/time';
import type { CommandState } from './currentState';

interface Step {
  readonly status: string;
  readonly at: string;
  readonly note?: string;
}

/** The states a command went through, with their times and how long each took. */
export function Timeline({ command, state }: { command: Command; state: CommandState }) {
  const steps = stepsOf(command, state);
  return (
    <Stack component="ol" direction="row" sx={{ listStyle: 'none', m: 0, p: 2, gap: 3, flexWrap: 'wrap' }}>
      {steps.map((step, index) => (
        <Box component="li" key={step.status} sx={{ minWidth: 130 }}>
          <Typography variant="body2" component="div" sx={{ fontWeight: 600 }}>
            <CommandStatusView status={step.status} past={index < steps.length - 1} />
          </Typography>
          <Typography variant="body2" component="div">
            <Time at={step.at} style="milliseconds" />
          </Typography>
          <Typography variant="caption" color="textSecondary">
            {sincePrevious(steps, index)}
            {step.note}
          </Typography>
        </Box>
      ))}
    </Stack>
  );
}

function stepsOf(command: Command, state: CommandState): Step[] {
  const steps: (Step | undefined)[] = [
    { status: 'pending', at: command.created_at },
    stepAt('dispatched', command.dispatched_at),
    stepAt('in_progress', command.started_at, state.attempt > 1 ? `, attempt ${state.attempt}` : ''),
    command.completed_at === null ? undefined : { status: state.status, at: command.completed_at },
  ];
  return steps.filter((step) => step !== undefined);
}

function stepAt(status: string, at: string | null, note = ''): Step | undefined {
  return at === null ? undefined : { status, at, note };
}

function sincePrevious(steps: readonly Step[], index: number): string {
  const [before, step] = [steps[index - 1], steps[index]];
  if (before === undefined || step === undefined) return 'accepted';
  return `after ${formatDuration(secondsBetween(before.at, step.at))}`;
}
