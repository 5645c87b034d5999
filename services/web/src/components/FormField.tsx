import TextField from '@mui/material/TextField';
import { ApiProblem } from '../api/problem';

interface FormFieldProps {
  label: string;
  /** Its name in the request, at which the server says what is wrong. */
  name: string;
  value: string;
  onChange: (value: string) => void;
  error?: unknown;
  type?: 'text' | 'email' | 'password';
  autoComplete?: string;
  required?: boolean;
  minLength?: number;
  help?: string;
  autoFocus?: boolean;
}

export function FormField({
  label,
  name,
  value,
  onChange,
  error,
  type = 'text',
  help,
  minLength,
  ...rest
}: FormFieldProps) {
  const wrong = error instanceof ApiProblem ? error.fieldErrors.get(`body.${name}`) : undefined;
  return (
    <TextField
      {...rest}
      label={label}
      name={name}
      type={type}
      value={value}
      onChange={(event) => onChange(event.target.value)}
      error={wrong !== undefined}
      helperText={wrong ?? help}
      slotProps={{ htmlInput: { maxLength: 256, minLength, spellCheck: false } }}
    />
  );
}
