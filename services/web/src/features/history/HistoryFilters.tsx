import Autocomplete from '@mui/material/Autocomplete';
import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import Checkbox from '@mui/material/Checkbox';
import FormControlLabel from '@mui/material/FormControlLabel';
import Stack from '@mui/material/Stack';
import TextField from '@mui/material/TextField';
import { useQuery } from '@tanstack/react-query';
import { statusLabel } from '../../components/CommandStatus';
import { Choice } from '../../components/Choice';
import { MomentField } from '../../components/MomentField';
import { useUser } from '../../session/useSession';
import { commandTypesQuery, STATUSES } from '../commands/queries';
import { vehicleQuery } from '../vehicles/queries';
import { VehiclePicker } from '../vehicles/VehiclePicker';
import type { HistoryFilterSet } from './filters';

type Changes = Readonly<Record<string, string | readonly string[]>>;

interface HistoryFiltersProps {
  filters: HistoryFilterSet;
  onChange: (changes: Changes) => void;
}

const NONE: Changes = { vehicle_id: '', user_id: '', command_name: '', from: '', to: '', status: [] };

export function HistoryFilters({ filters, onChange }: HistoryFiltersProps) {
  return (
    <Stack direction="row" role="search" sx={{ gap: 2, mb: 2, flexWrap: 'wrap', alignItems: 'center' }}>
      <VehicleFilter vehicleId={filters.vehicle_id ?? ''} onChange={(vehicle_id) => onChange({ vehicle_id })} />
      <TypeFilter name={filters.command_name ?? ''} onChange={(command_name) => onChange({ command_name })} />
      <Autocomplete
        multiple
        limitTags={2}
        disableCloseOnSelect
        options={STATUSES}
        value={filters.status}
        onChange={(_, status) => onChange({ status })}
        getOptionLabel={statusLabel}
        sx={{ minWidth: 240 }}
        renderInput={(params) => <TextField {...params} label="Status" />}
      />
      <MomentField label="From" value={filters.from} onChange={(from) => onChange({ from })} />
      <MomentField label="Until" value={filters.to} onChange={(to) => onChange({ to })} />
      <UserFilter userId={filters.user_id ?? ''} onChange={(user_id) => onChange({ user_id })} />
      <Button onClick={() => onChange(NONE)} disabled={isEmpty(filters)}>
        Clear filters
      </Button>
    </Stack>
  );
}

function isEmpty({ status, ...rest }: HistoryFilterSet): boolean {
  return status.length === 0 && Object.keys(rest).length === 0;
}

function VehicleFilter({ vehicleId, onChange }: { vehicleId: string; onChange: (vehicleId: string) => void }) {
  const { data } = useQuery({ ...vehicleQuery(vehicleId), enabled: vehicleId !== '' });
  const vehicle = vehicleId === '' ? null : (data ?? null);
  return (
    <Box sx={{ width: 320 }}>
      <VehiclePicker vehicle={vehicle} onChange={(chosen) => onChange(chosen?.vehicle_id ?? '')} />
    </Box>
  );
}

function TypeFilter({ name, onChange }: { name: string; onChange: (name: string) => void }) {
  const { data } = useQuery(commandTypesQuery);
  const names = new Set([...(data?.items ?? []).map((type) => type.name), ...(name === '' ? [] : [name])]);
  return (
    <Choice
      label="Command"
      any="Any"
      value={name}
      options={[...names].map((each) => [each, each] as const)}
      onChange={onChange}
    />
  );
}

/** One's own, or those of the user whom the address names. */
function UserFilter({ userId, onChange }: { userId: string; onChange: (userId: string) => void }) {
  const user = useUser();
  const isOther = userId !== '' && userId !== user.user_id;
  return (
    <FormControlLabel
      label={isOther ? 'Only those of one user' : 'Only mine'}
      control={
        <Checkbox
          size="small"
          checked={userId !== ''}
          onChange={(_, checked) => onChange(checked ? user.user_id : '')}
        />
      }
    />
  );
}
