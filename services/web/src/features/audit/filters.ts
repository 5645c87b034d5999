import { isMoment } from '../../lib/time';
import type { AuditQuery } from './queries';

const TEXTS = ['action', 'actor_id', 'subject_id'] as const;
const MOMENTS = ['from', 'to'] as const;

/** Names in the address are those of the API. What makes no sense there is left out. */
export function readFilters(search: URLSearchParams): AuditQuery {
  const given = [...TEXTS.filter((name) => search.get(name)), ...MOMENTS.filter((name) => isMoment(search.get(name)))];
  return Object.fromEntries(given.map((name) => [name, search.get(name)]));
}
