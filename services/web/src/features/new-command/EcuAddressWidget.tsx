import Autocomplete from '@mui/material/Autocomplete';
import TextField from '@mui/material/TextField';
import type { WidgetProps } from '@rjsf/utils';
import type { Vehicle } from '../../api/client';
import { addressOf, ecuLabel, matchingEcus } from '../../lib/ecu';

export interface FormContext {
  readonly ecus: Vehicle['ecus'];
}

/** The ECUs that are known of the vehicle, to choose from by name; any other address can be typed. */
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
  const labels = new Map(ecus.map((ecu) => [ecu.address, ecuLabel(ecu)]));
  const typed = typeof value === 'string' ? value : '';
  const change = (text: string | null) => onChange(text === null || text.trim() === '' ? undefined : text.trim());
  return (
    <Autocomplete
      freeSolo
      id={id}
      disabled={disabled === true}
      options={ecus.map(({ address }) => address)}
      getOptionLabel={(address) => address}
      filterOptions={() => matchingEcus(ecus, typed).map(({ address }) => address)}
      renderOption={({ key, ...props }, address) => (
        <li key={key} {...props}>
          {labels.get(address)}
        </li>
      )}
      inputValue={typed}
      onInputChange={(_, text) => change(text)}
      onBlur={() => change(addressOf(ecus, typed))}
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
