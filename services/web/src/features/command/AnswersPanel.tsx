import Alert from '@mui/material/Alert';
import Box from '@mui/material/Box';
import Typography from '@mui/material/Typography';
import { lazy, Suspense } from 'react';
import type { Command } from '../../api/client';
import { Code } from '../../components/Code';
import { Later } from '../../components/Later';
import { Section } from '../../components/Section';
import { EmptyState, LoadingLines } from '../../components/states';
import type { Following } from '../../live/commandFollower';
import { AnswerList } from './AnswerList';
import { AnswerTools } from './AnswerTools';
import { LiveState } from './LiveState';

const StreamPlots = lazy(async () => ({ default: (await import('./StreamPlots')).StreamPlots }));

interface AnswersPanelProps {
  command: Command;
  following: Following;
}

/** The answers of a command, as they come. */
export function AnswersPanel({ command, following }: AnswersPanelProps) {
  const count = following.count;
  return (
    <Section
      title={count === 0 ? 'Answers' : count === 1 ? '1 answer' : `${count} answers`}
      actions={
        <>
          {(count > 0 || !following.ended) && <LiveState ended={following.ended} />}
          <Later>
            <AnswerTools command={command} answers={following.answers} count={count} />
          </Later>
        </>
      }
    >
      {following.oddityCount > 0 && <Oddities following={following} />}
      {count === 0 ? (
        <NoAnswers command={command} following={following} />
      ) : (
        <>
          {command.command_name === 'StreamDataByID' && (
            <Suspense fallback={<LoadingLines lines={3} />}>
              <StreamPlots answers={following.answers} count={count} ended={following.ended} />
            </Suspense>
          )}
          <AnswerList answers={following.answers} count={count} />
        </>
      )}
    </Section>
  );
}

function NoAnswers({ command, following }: AnswersPanelProps) {
  if (following.ended) return <EmptyState title={whyNone(command, following)} />;
  if (command.responses > 0) return <LoadingLines lines={3} />;
  if (command.status === 'pending') {
    return <EmptyState title="Waiting">It runs as soon as the vehicle is there and its ECU is free.</EmptyState>;
  }
  return <EmptyState title="Waiting for the first answer" />;
}

/** Read from the vehicle before it gets the command. */
const PRECONDITIONS: readonly (string | null)[] = ['PRECONDITION_FAILED', 'PRECONDITION_UNKNOWN'];

function whyNone(command: Command, { status }: Following): string {
  const code = status?.code ?? command.error_code;
  if (code === 'NEGATIVE_RESPONSE') return 'The ECU refused, and said nothing more';
  const neverBegun = command.completed_at !== null && command.started_at === null;
  if (neverBegun || PRECONDITIONS.includes(code)) return 'It never reached the vehicle';
  return 'The vehicle sent no answer';
}

/** What the server sent and this page does not understand: shown as it is. */
function Oddities({ following }: { following: Following }) {
  return (
    <Alert severity="warning" sx={{ m: 2 }}>
      {following.oddityCount} {following.oddityCount === 1 ? 'event was' : 'events were'} not understood by this page.
      <Box component="ul" sx={{ m: 0, pl: 2.5, maxHeight: 160, overflow: 'auto' }}>
        {following.oddities.map(({ reason, text }, index) => (
          <li key={index}>
            {reason}:{' '}
            <Typography component="span" variant="body2">
              <Code>{text}</Code>
            </Typography>
          </li>
        ))}
      </Box>
    </Alert>
  );
}
