import Autocomplete from '@mui/material/Autocomplete';
import TextField from '@mui/material/TextField';
import type { WidgetProps } from '@rjsf/utils';
import type { Vehicle } from '../../api/client';

export interface FormContext {
  readonly ecus: Vehicle['ecus'];
}

/** The ECUs that the vehicle announced, to choose from; any other address can be typed. */
export function EcuAddressWidget({
  id,
  label,
  required,
  value,
  onChange,
  rawErrors = [],
  disabled,
  registry,
}: WidgetProps) {
  const { ecus } = registry.formContext as FormContext;
  const names = new Map(ecus.map(({ address, name }) => [address, name]));
  const change = (text: string | null) => onChange(text === null || text.trim() === '' ? undefined : text.trim());
  return (
    <Autocomplete
      freeSolo
      id={id}
      disabled={disabled === true}
      options={ecus.map(({ address }) => address)}
      getOptionLabel={(address) => address}
      renderOption={({ key, ...props }, address) => (
        <li key={key} {...props}>
          {address} · {names.get(address)}
        </li>
      )}
      inputValue={typeof value === 'string' ? value : ''}
      onInputChange={(_, text) => change(text)}
      renderInput={(params) => (
        <TextField
          {...params}
          label={label}
          required={required === true}
          error={rawErrors.length > 0}
          placeholder="0x10"
        />
      )}
    />
  );
}
