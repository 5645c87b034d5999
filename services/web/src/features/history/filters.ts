import type { CommandStatus } from '../../api/client';
import { isMoment } from '../../lib/time';
import { STATUSES, type CommandQuery } from '../commands/queries';

export type HistoryFilterSet = Pick<CommandQuery, 'vehicle_id' | 'user_id' | 'command_name' | 'from' | 'to'> & {
  status: CommandStatus[];
};

/** Names in the address are those of the API. What makes no sense there is left out. */
export function readFilters(search: URLSearchParams): HistoryFilterSet {
  const statuses = search.getAll('status');
  return {
    ...text(search, 'vehicle_id'),
    ...text(search, 'user_id'),
    ...text(search, 'command_name'),
    ...moment(search, 'from'),
    ...moment(search, 'to'),
    status: STATUSES.filter((status) => statuses.includes(status)),
  };
}

function text<Name extends string>(search: URLSearchParams, name: Name): Partial<Record<Name, string>> {
  const value = search.get(name);
  return value === null || value === '' ? {} : ({ [name]: value } as Record<Name, string>);
}

function moment<Name extends string>(search: URLSearchParams, name: Name): Partial<Record<Name, string>> {
  return isMoment(search.get(name)) ? text(search, name) : {};
}
