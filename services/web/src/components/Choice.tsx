import MenuItem from '@mui/material/MenuItem';
import TextField from '@mui/material/TextField';

interface ChoiceProps<Value extends string> {
  label: string;
  value: Value | '';
  options: readonly (readonly [Value, string])[];
  onChange: (value: Value | '') => void;
  /** What choosing none means; without it, one has to be chosen. */
  any?: string;
  disabled?: boolean;
}

/** A select with few options. */
export function Choice<Value extends string>({ label, value, options, onChange, any, disabled }: ChoiceProps<Value>) {
  return (
    <TextField
      select
      label={label}
      value={value}
      disabled={disabled}
      onChange={(event) => onChange(event.target.value as Value | '')}
      sx={{ minWidth: 150, width: 'auto' }}
      slotProps={{ inputLabel: any === undefined ? {} : { shrink: true }, select: { displayEmpty: any !== undefined } }}
    >
      {any !== undefined && <MenuItem value="">{any}</MenuItem>}
      {options.map(([option, text]) => (
        <MenuItem key={option} value={option}>
          {text}
        </MenuItem>
      ))}
    </TextField>
  );
}
