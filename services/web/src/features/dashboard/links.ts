import { HOURS } from './queries';

/** The history of the hours that the dashboard tells of. To the minute, so that the link stays the same for a while. */
export function recentCommands(statuses: readonly string[], now = Date.now()): string {
  const minute = Math.floor(now / 60_000) * 60_000;
  const search = new URLSearchParams(statuses.map((status) => ['status', status]));
  search.set('from', new Date(minute - HOURS * 3_600_000).toISOString());
  return `/commands?${search.toString()}`;
}
