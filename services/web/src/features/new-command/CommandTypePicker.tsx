import ListItemText from '@mui/material/ListItemText';
import MenuItem from '@mui/material/MenuItem';
import TextField from '@mui/material/TextField';
import type { CommandType } from '../../api/client';
import { classLabel } from './effects';

interface CommandTypePickerProps {
  types: readonly CommandType[];
  type: CommandType | undefined;
  onChange: (name: string) => void;
}

export function CommandTypePicker({ types, type, onChange }: CommandTypePickerProps) {
  return (
    <TextField
      select
      required
      label="Command"
      value={type?.name ?? ''}
      onChange={(event) => onChange(event.target.value)}
      helperText={type?.description}
      slotProps={{ select: { renderValue: () => type && `${type.name} – ${classLabel(type.command_class)}` } }}
    >
      {types.map(({ name, description, command_class: commandClass }) => (
        <MenuItem key={name} value={name}>
          <ListItemText primary={`${name} – ${classLabel(commandClass)}`} secondary={description} />
        </MenuItem>
      ))}
    </TextField>
  );
}
