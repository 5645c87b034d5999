import Card from '@mui/material/Card';
import { useQuery } from '@tanstack/react-query';
import { useSearchParams } from 'react-router';
import type { CommandType } from '../../api/client';
import { PageHeader } from '../../components/PageHeader';
import { Loaded } from '../../components/states';
import { commandQuery, commandTypesQuery } from '../commands/queries';
import { vehicleQuery } from '../vehicles/queries';
import { NewCommandForm, type NewCommandFormProps } from './NewCommandForm';

/** `?vehicle=…&type=…&ecu=…` fill in what is known already; `?again=…` is a command to send once more. */
export function NewCommandPage() {
  const [search] = useSearchParams();
  const types = useQuery(commandTypesQuery);
  return (
    <>
      <PageHeader title="New command" />
      <Card sx={{ p: { xs: 2, sm: 3 }, maxWidth: 820 }}>
        <Loaded query={types}>
          {({ items }) => <FilledForm key={search.toString()} types={items} search={search} />}
        </Loaded>
      </Card>
    </>
  );
}

function FilledForm({ types, search }: { types: readonly CommandType[]; search: URLSearchParams }) {
  const again = search.get('again');
  const vehicleId = search.get('vehicle');
  const ecu = search.get('ecu');
  if (again !== null) return <FilledFromCommand commandId={again} types={types} />;
  const known = {
    types,
    initialType: search.get('type') ?? '',
    initialParams: ecu === null ? {} : { ecuAddress: ecu },
  };
  if (vehicleId === null) return <NewCommandForm {...known} initialVehicle={null} />;
  return <FilledWithVehicle vehicleId={vehicleId} {...known} />;
}

function FilledFromCommand({ commandId, types }: { commandId: string; types: readonly CommandType[] }) {
  const query = useQuery(commandQuery(commandId));
  return (
    <Loaded query={query}>
      {({ vehicle_id: vehicleId, command_name: name, command_params: params }) => (
        <FilledWithVehicle vehicleId={vehicleId} types={types} initialType={name} initialParams={params} />
      )}
    </Loaded>
  );
}

interface FilledWithVehicleProps extends Omit<NewCommandFormProps, 'initialVehicle'> {
  vehicleId: string;
}

function FilledWithVehicle({ vehicleId, ...known }: FilledWithVehicleProps) {
  const query = useQuery(vehicleQuery(vehicleId));
  return <Loaded query={query}>{(vehicle) => <NewCommandForm {...known} initialVehicle={vehicle} />}</Loaded>;
}
