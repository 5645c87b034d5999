import Autocomplete from '@mui/material/Autocomplete';
import Box from '@mui/material/Box';
import TextField from '@mui/material/TextField';
import { useQuery } from '@tanstack/react-query';
import { useDeferredValue, useState } from 'react';
import type { Vehicle } from '../../api/client';
import { describeProblem } from '../../api/problem';
import { Code } from '../../components/Code';
import { ConnectionStatus } from '../../components/ConnectionStatus';
import { vehiclesQuery } from './queries';

const SHOWN = 20;

interface VehiclePickerProps {
  vehicle: Vehicle | null;
  onChange: (vehicle: Vehicle | null) => void;
  required?: boolean;
  /** What is wrong with the choice. */
  problem?: string | undefined;
}

/** Searches the whole fleet on the server while one types. */
export function VehiclePicker({ vehicle, onChange, required = false, problem }: VehiclePickerProps) {
  const [text, setText] = useState('');
  const search = useDeferredValue(vehicle !== null && text === labelOf(vehicle) ? '' : text.trim());
  const { data, error, isFetching } = useQuery(vehiclesQuery({ search, limit: SHOWN }));
  return (
    <Autocomplete
      options={data?.items ?? []}
      value={vehicle}
      onChange={(_, chosen) => onChange(chosen)}
      inputValue={text}
      onInputChange={(_, typed) => setText(typed)}
      getOptionLabel={labelOf}
      getOptionKey={({ vehicle_id: id }) => id}
      isOptionEqualToValue={(option, value) => option.vehicle_id === value.vehicle_id}
      filterOptions={(options) => options}
      loading={isFetching}
      noOptionsText="No vehicle matches"
      renderOption={({ key, ...props }, option) => (
        <Box component="li" key={key} {...props} sx={{ gap: 1.5 }}>
          <Code>{option.vin}</Code>
          <Box component="span" sx={{ flexGrow: 1 }}>
            {option.make} {option.model}
          </Box>
          <ConnectionStatus status={option.connection_status} />
        </Box>
      )}
      renderInput={(params) => (
        <TextField
          {...params}
          label="Vehicle"
          required={required}
          placeholder="VIN, make or model"
          error={error !== null || problem !== undefined}
          helperText={error === null ? problem : describeProblem(error)}
        />
      )}
    />
  );
}

function labelOf(vehicle: Vehicle): string {
  return `${vehicle.vin} · ${vehicle.make} ${vehicle.model}`;
}
