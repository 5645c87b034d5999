import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import type { Command } from '../../api/client';
import { ENDED, type StatusEvent } from '../../live/events';
import { useFollowing } from '../../live/useFeed';
import { isOpen } from './queries';
import { readAgain } from './readAgain';

/** One of a stream's many answers after the other is more than a list wants to know. */
const STREAM = 'StreamDataByID';

/** A command of a list as it is now: one that is under way is followed, and what its end changes is read again. */
export function useCommandNow(command: Command): Command {
  const queries = useQueryClient();
  const followed = isOpen(command) && command.command_name !== STREAM;
  const following = useFollowing(followed ? command.command_id : undefined);
  const hasEnded = following?.ended === true;
  useEffect(() => {
    if (hasEnded) readAgain(queries, command.vehicle_id);
  }, [hasEnded, queries, command.vehicle_id]);
  if (following === undefined) return command;
  return { ...withStatus(command, following.status), responses: Math.max(command.responses, following.count) };
}

function withStatus(command: Command, event: StatusEvent | undefined): Command {
  if (event === undefined || event.revision <= command.revision) return command;
  return {
    ...command,
    // A status that this page does not know is shown as it is.
    status: event.status as Command['status'],
    attempt: event.attempt,
    error_code: event.code ?? null,
    nrc_name: event.nrcName ?? null,
    completed_at: ENDED.has(event.status) ? (event.at ?? null) : null,
  };
}
