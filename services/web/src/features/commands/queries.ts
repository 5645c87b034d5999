import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import { answerOf, api, listOf, type Command, type CommandStatus } from '../../api/client';
import type { paths } from '../../api/generated/schema';
import { ENDED } from '../../live/events';

export type CommandQuery = NonNullable<paths['/api/v1/commands']['get']['parameters']['query']>;

export const STATUSES: readonly CommandStatus[] = [
  'pending',
  'dispatched',
  'in_progress',
  'completed',
  'failed',
  'timed_out',
  'expired',
  'cancelled',
];

export const commandsKey = ['commands'] as const;
export const commandKey = (commandId: string) => [...commandsKey, 'detail', commandId] as const;

/** A list that shows what is still under way is read again so often. */
const OPEN_LIST_MS = 3_000;
const CALM_LIST_MS = 15_000;

export const commandsQuery = (query: CommandQuery) =>
  queryOptions({
    queryKey: [...commandsKey, 'list', query],
    queryFn: ({ signal }) => listOf(api.GET('/api/v1/commands', { params: { query }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => (state.data?.items.some(isOpen) === true ? OPEN_LIST_MS : CALM_LIST_MS),
  });

export const commandQuery = (commandId: string) =>
  queryOptions({
    queryKey: commandKey(commandId),
    queryFn: ({ signal }) =>
      answerOf(api.GET('/api/v1/commands/{command_id}', { params: { path: { command_id: commandId } }, signal })),
  });

export const commandTypesQuery = queryOptions({
  queryKey: ['command-types'],
  queryFn: ({ signal }) => answerOf(api.GET('/api/v1/command-types', { signal })),
  staleTime: 5 * 60_000,
});

export function isOpen(command: Command): boolean {
  return !ENDED.has(command.status);
}
