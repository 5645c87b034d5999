import MenuItem from '@mui/material/MenuItem';
import Stack from '@mui/material/Stack';
import TextField from '@mui/material/TextField';
import { EXPIRIES, type CommandOptions, type OptionErrors } from './options';

interface OptionFieldsProps {
  options: CommandOptions;
  errors: OptionErrors;
  defaultTimeout: number;
  onChange: (options: CommandOptions) => void;
}

export function OptionFields({ options, errors, defaultTimeout, onChange }: OptionFieldsProps) {
  return (
    <Stack direction={{ xs: 'column', sm: 'row' }} sx={{ gap: 2 }}>
      <TextField
        label="Time-out (s)"
        value={options.timeout}
        onChange={(event) => onChange({ ...options, timeout: event.target.value })}
        error={errors.timeout !== undefined}
        helperText={errors.timeout ?? `For the vehicle's answer; ${defaultTimeout} if empty`}
        slotProps={{ htmlInput: { inputMode: 'numeric' } }}
      />
      <TextField
        select
        label="Expires after"
        value={options.expiry}
        onChange={(event) => onChange({ ...options, expiry: Number(event.target.value) })}
        helperText="It does not run after this"
      >
        {EXPIRIES.map(([seconds, label]) => (
          <MenuItem key={seconds} value={seconds}>
            {label}
          </MenuItem>
        ))}
      </TextField>
      <TextField
        label="Priority"
        value={options.priority}
        onChange={(event) => onChange({ ...options, priority: event.target.value })}
        error={errors.priority !== undefined}
        helperText={errors.priority ?? 'Higher runs first on its ECU'}
        slotProps={{ htmlInput: { inputMode: 'numeric' } }}
      />
    </Stack>
  );
}
