import Autocomplete from '@mui/material/Autocomplete';
import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import Checkbox from '@mui/material/Checkbox';
import FormControlLabel from '@mui/material/FormControlLabel';
import TextField from '@mui/material/TextField';
import { useQuery } from '@tanstack/react-query';
import { statusLabel } from '../../components/CommandStatus';
import { Choice } from '../../components/Choice';
import { MomentField } from '../../components/MomentField';
import { useMay, useUser } from '../../session/useSession';
import { commandTypesQuery, STATUSES } from '../commands/queries';
import { UserPicker } from '../users/UserPicker';
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
    <Box
      role="search"
      sx={{
        display: 'grid',
        gap: 2,
        mb: 2,
        alignItems: 'center',
        gridTemplateColumns: 'repeat(auto-fill, minmax(215px, 1fr))',
      }}
    >
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
        renderInput={(params) => <TextField {...params} label="Status" />}
      />
      <MomentField label="From" value={filters.from} onChange={(from) => onChange({ from })} />
      <MomentField label="Until" value={filters.to} onChange={(to) => onChange({ to })} />
      <UserFilter userId={filters.user_id ?? ''} onChange={(user_id) => onChange({ user_id })} />
      <Button onClick={() => onChange(NONE)} disabled={isEmpty(filters)} sx={{ justifySelf: 'start' }}>
        Clear filters
      </Button>
    </Box>
  );
}

function isEmpty({ status, ...rest }: HistoryFilterSet): boolean {
  return status.length === 0 && Object.keys(rest).length === 0;
}

function VehicleFilter({ vehicleId, onChange }: { vehicleId: string; onChange: (vehicleId: string) => void }) {
  const { data } = useQuery({ ...vehicleQuery(vehicleId), enabled: vehicleId !== '' });
  const vehicle = vehicleId === '' ? null : (data ?? null);
  return <VehiclePicker vehicle={vehicle} onChange={(chosen) => onChange(chosen?.vehicle_id ?? '')} />;
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

interface UserFilterProps {
  userId: string;
  onChange: (userId: string) => void;
}

/** Administrators know the users by name; everybody else has at least their own commands. */
function UserFilter(props: UserFilterProps) {
  return useMay('admin') ? <UserPicker label="Sent by" {...props} /> : <OwnFilter {...props} />;
}

/** One's own, or those of the user whom the address names. */
function OwnFilter({ userId, onChange }: UserFilterProps) {
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
