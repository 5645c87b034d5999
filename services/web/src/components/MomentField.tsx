import TextField from '@mui/material/TextField';
import { useState } from 'react';

interface MomentFieldProps {
  label: string;
  /** RFC 3339, or nothing. */
  value: string | undefined | null;
  onChange: (value: string) => void;
}

/** A moment in the user's zone. Half a moment is none yet. */
export function MomentField({ label, value, onChange }: MomentFieldProps) {
  const given = toLocal(value);
  const [typed, setTyped] = useState({ text: given, from: given });
  const text = typed.from === given ? typed.text : given;
  const change = (changed: string) => {
    setTyped({ text: changed, from: given });
    const moment = new Date(changed);
    if (changed === '') onChange('');
    else if (!Number.isNaN(moment.getTime()) && moment.getFullYear() > 1900) onChange(moment.toISOString());
  };
  return (
    <TextField
      type="datetime-local"
      label={label}
      value={text}
      onChange={(event) => change(event.target.value)}
      sx={{ minWidth: 215, width: 'auto' }}
      slotProps={{ inputLabel: { shrink: true } }}
    />
  );
}

/** As the browser's field wants it: the local time without a zone, to the minute. Nothing for what is no moment. */
function toLocal(value: string | undefined | null): string {
  if (value === undefined || value === null || value === '') return '';
  const moment = new Date(value);
  const local = new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000);
  return Number.isNaN(local.getTime()) ? '' : local.toISOString().slice(0, 16);
}
