import type { Command } from '../../api/client';
import { ENDED, type StatusEvent } from '../../live/events';

/** Where a command stands: as it was read, or as a newer event says. */
export interface CommandState {
  readonly status: string;
  readonly ended: boolean;
  readonly attempt: number;
  readonly errorCode: string | undefined;
  readonly errorMessage: string | undefined;
  readonly nrc: string | undefined;
  readonly nrcName: string | undefined;
  readonly cancelOutcome: string | undefined;
  /** The vehicle asked for patience. */
  readonly progress: string | undefined;
}

export function currentState(command: Command, event: StatusEvent | undefined): CommandState {
  if (event === undefined || event.revision < command.revision) return fromCommand(command);
  return {
    status: event.status,
    ended: event.terminal,
    attempt: event.attempt,
    errorCode: event.code,
    errorMessage: event.message,
    nrc: event.nrc,
    nrcName: event.nrcName,
    cancelOutcome: event.cancelOutcome,
    progress: event.terminal ? undefined : event.progress,
  };
}

function fromCommand(command: Command): CommandState {
  return {
    status: command.status,
    ended: ENDED.has(command.status),
    attempt: command.attempt,
    errorCode: command.error_code ?? undefined,
    errorMessage: command.error_message ?? undefined,
    nrc: command.nrc ?? undefined,
    nrcName: command.nrc_name ?? undefined,
    cancelOutcome: command.cancel_outcome ?? undefined,
    progress: undefined,
  };
}
