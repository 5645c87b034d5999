import Box from '@mui/material/Box';
import { useQuery } from '@tanstack/react-query';
import { useDeferredValue, useState } from 'react';
import type { Vehicle } from '../../api/client';
import { Code } from '../../components/Code';
import { ConnectionStatus } from '../../components/ConnectionStatus';
import { SearchPicker } from '../../components/SearchPicker';
import { vehiclesQuery } from './queries';

const SHOWN = 20;

interface VehiclePickerProps {
  vehicle: Vehicle | null;
  onChange: (vehicle: Vehicle | null) => void;
  required?: boolean;
  /** What is wrong with the choice. */
  problem?: string | undefined;
}

/** Searches the whole fleet. */
export function VehiclePicker({ vehicle, ...rest }: VehiclePickerProps) {
  const [search, setSearch] = useState('');
  const found = useQuery(vehiclesQuery({ search: useDeferredValue(search), limit: SHOWN }));
  return (
    <SearchPicker
      {...rest}
      label="Vehicle"
      placeholder="VIN, make or model"
      nothingFound="No vehicle matches"
      value={vehicle}
      onSearch={setSearch}
      found={found}
      idOf={({ vehicle_id: id }) => id}
      labelOf={labelOf}
      renderItem={(option) => (
        <>
          <Code>{option.vin}</Code>
          <Box component="span" sx={{ flexGrow: 1 }}>
            {option.make} {option.model}
          </Box>
          <ConnectionStatus status={option.connection_status} />
        </>
      )}
    />
  );
}

function labelOf(vehicle: Vehicle): string {
  return `${vehicle.vin} · ${vehicle.make} ${vehicle.model}`;
}
