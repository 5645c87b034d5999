import Link from '@mui/material/Link';
import Stack from '@mui/material/Stack';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { memo, useEffect } from 'react';
import { Link as RouterLink, useParams } from 'react-router';
import { ApiProblem } from '../../api/problem';
import type { Command } from '../../api/client';
import { Code } from '../../components/Code';
import { CommandStatusView } from '../../components/CommandStatus';
import { Later } from '../../components/Later';
import { Notice } from '../../components/Notice';
import { PageHeader } from '../../components/PageHeader';
import { Section } from '../../components/Section';
import { Loaded } from '../../components/states';
import { Time } from '../../components/Time';
import { useFollowed, useFollowedLater, useFollower } from '../../live/useFeed';
import type { CommandFollower, Following } from '../../live/commandFollower';
import { describeParams } from '../commands/describeParams';
import { readAgain } from '../commands/readAgain';
import { commandKey, commandQuery, commandsKey } from '../commands/queries';
import { vehicleQuery } from '../vehicles/queries';
import { AnswersPanel } from './AnswersPanel';
import { CommandActions } from './CommandActions';
import { CommandFacts } from './CommandFacts';
import { currentState } from './currentState';
import { Evidence } from './Evidence';
import { HeldBackNotice } from './HeldBackNotice';
import { OutcomeNotice } from './OutcomeNotice';
import { Timeline } from './Timeline';

export function CommandPage() {
  const { commandId = '' } = useParams();
  const query = useQuery(commandQuery(commandId));
  const { error } = query;
  if (error instanceof ApiProblem && (error.status === 404 || error.status === 422)) {
    return <Notice title="There is no such command">The link may be mistyped, or its command too old.</Notice>;
  }
  return <Loaded query={query}>{(command) => <FollowedCommand key={command.command_id} command={command} />}</Loaded>;
}

function FollowedCommand({ command }: { command: Command }) {
  const follower = useFollower(command.command_id);
  // The answers first; what stands around them follows.
  const event = useFollowedLater(follower, statusOf);
  useFreshCommand(command, event?.revision);
  useAftermath(command.vehicle_id, event?.terminal === true);
  const state = currentState(command, event);
  return (
    <>
      <PageHeader
        title={`${command.command_name} · ${command.vin}`}
        heading={command.command_name}
        subtitle={<Summary command={command} status={state.status} />}
        actions={
          <Later>
            <CommandActions command={command} ended={state.ended} />
          </Later>
        }
      />
      <Stack sx={{ gap: 2.5 }}>
        <HeldBackNotice command={command} status={state.status} />
        <OutcomeNotice state={state} />
        <AnswersOf command={command} follower={follower} />
        <Later>
          <Section title="Timeline">
            <Timeline command={command} state={state} />
          </Section>
          <Section title="Command">
            <CommandFacts command={command} />
          </Section>
          {state.ended && <Evidence commandId={command.command_id} />}
        </Later>
      </Stack>
    </>
  );
}

const statusOf = ({ status }: Following) => status;

/** ECUs keep their names: nothing else is to wait for these. */
const FOR_NAMES = { staleTime: 10 * 60_000, refetchInterval: false } as const;

function Summary({ command, status }: { command: Command; status: string }) {
  const { data: vehicle } = useQuery({ ...vehicleQuery(command.vehicle_id), ...FOR_NAMES });
  const params = describeParams(command.command_params, vehicle?.ecus);
  return (
    <Stack direction="row" sx={{ columnGap: 2, rowGap: 0.5, flexWrap: 'wrap', alignItems: 'baseline' }}>
      <span role="status" aria-label="Status of the command">
        <CommandStatusView status={status} />
      </span>
      <Link component={RouterLink} to={`/vehicles/${command.vehicle_id}`}>
        <Code>{command.vin}</Code>
      </Link>
      {params !== '' && <Code>{params}</Code>}
      <span>
        by {command.username}, <Time at={command.created_at} />
      </span>
    </Stack>
  );
}

const AnswersOf = memo(function AnswersOf({ command, follower }: { command: Command; follower: CommandFollower }) {
  const following = useFollowed(follower, (all) => all);
  return <AnswersPanel command={command} following={following} />;
});

/** A change of the status came: the command has new times to show. */
function useFreshCommand(command: Command, revision: number | undefined): void {
  const queries = useQueryClient();
  const isNews = revision !== undefined && revision > command.revision;
  const commandId = command.command_id;
  useEffect(() => {
    if (!isNews) return;
    void queries.invalidateQueries({ queryKey: commandKey(commandId) });
    void queries.invalidateQueries({ queryKey: [...commandsKey, 'list'] });
  }, [isNews, revision, commandId, queries]);
}

function useAftermath(vehicleId: string, ended: boolean): void {
  const queries = useQueryClient();
  useEffect(() => {
    if (ended) readAgain(queries, vehicleId);
  }, [ended, queries, vehicleId]);
}
