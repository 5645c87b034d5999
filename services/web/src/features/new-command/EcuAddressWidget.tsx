import Autocomplete from '@mui/material/Autocomplete';
import InputAdornment from '@mui/material/InputAdornment';
import TextField from '@mui/material/TextField';
import type { WidgetProps } from '@rjsf/utils';
import type { Vehicle } from '../../api/client';
import { addressOf, ecuLabel, matchingEcus, nameAt } from '../../lib/ecu';

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
  const name = nameAt(ecus, typed);
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
          placeholder={ecus.length > 0 ? 'Name or address' : '0x10'}
          slotProps={{
            ...params.slotProps,
            input: {
              ...params.slotProps.input,
              endAdornment: (
                <>
                  {name !== '' && <InputAdornment position="end">{name}</InputAdornment>}
                  {params.slotProps.input.endAdornment}
                </>
              ),
            },
          }}
        />
      )}
    />
  );
}
