import Box from '@mui/material/Box';
import Tooltip from '@mui/material/Tooltip';
import { formatTime, formatUtc, type TimeStyle } from '../lib/time';
import { useNow } from './useNow';

interface TimeProps {
  at: string | null | undefined;
  style?: TimeStyle;
  /** When there is none. */
  none?: string;
  /** Without a tooltip of ours: the browser's own, for lists that change many times a second. */
  plain?: boolean;
}

/** A moment in the user's zone; in UTC on hover. */
export function Time({ at, style = 'short', none = '–', plain = false }: TimeProps) {
  const now = useNow();
  if (at === null || at === undefined || at === '') return none;
  const moment = new Date(at);
  // Not a time that we can read: shown as it came.
  if (Number.isNaN(moment.getTime())) return at;
  if (plain) {
    return (
      <time dateTime={at} title={formatUtc(moment)}>
        {formatTime(moment, style, now)}
      </time>
    );
  }
  return (
    <Tooltip
      title={style === 'relative' ? `${formatTime(moment, 'full', now)} · ${formatUtc(moment)}` : formatUtc(moment)}
    >
      <Box component="time" dateTime={at} sx={{ whiteSpace: 'nowrap', fontVariantNumeric: 'tabular-nums' }}>
        {formatTime(moment, style, now)}
      </Box>
    </Tooltip>
  );
}
