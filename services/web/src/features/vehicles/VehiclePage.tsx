import Button from '@mui/material/Button';
import Stack from '@mui/material/Stack';
import { useQuery } from '@tanstack/react-query';
import { Link as RouterLink, useParams } from 'react-router';
import { ApiProblem } from '../../api/problem';
import type { Vehicle } from '../../api/client';
import { Code } from '../../components/Code';
import { ConnectionStatus } from '../../components/ConnectionStatus';
import { CopyButton } from '../../components/CopyButton';
import { Facts } from '../../components/Facts';
import { Notice } from '../../components/Notice';
import { PageHeader } from '../../components/PageHeader';
import { Section } from '../../components/Section';
import { EmptyState, Loaded } from '../../components/states';
import { Time } from '../../components/Time';
import { ecuName } from '../../lib/ecu';
import { useMay } from '../../session/useSession';
import { commandsQuery } from '../commands/queries';
import { CommandTable } from '../commands/CommandTable';
import { FaultMemory } from '../faults/FaultMemory';
import { EcuTable } from './EcuTable';
import { LinkProblemNotice } from './LinkProblem';
import { LockSection } from './LockSection';
import { vehicleQuery } from './queries';
import { ReadAllFaults } from './ReadAllFaults';
import { ScanEcus } from './ScanEcus';

export function VehiclePage() {
  const { vehicleId = '' } = useParams();
  const query = useQuery(vehicleQuery(vehicleId));
  const { error } = query;
  if (error instanceof ApiProblem && (error.status === 404 || error.status === 422)) {
    return <Notice title="There is no such vehicle">It may have been taken out of the fleet.</Notice>;
  }
  return <Loaded query={query}>{(vehicle) => <VehicleView key={vehicle.vehicle_id} vehicle={vehicle} />}</Loaded>;
}

function VehicleView({ vehicle }: { vehicle: Vehicle }) {
  const ecuNames = new Map(vehicle.ecus.map((ecu) => [ecu.address, ecuName(ecu)]));
  return (
    <>
      <PageHeader
        title={vehicle.vin}
        heading={
          <>
            <Code>{vehicle.vin}</Code> <CopyButton text={vehicle.vin} what="VIN" />
          </>
        }
        subtitle={
          <Stack direction="row" sx={{ gap: 2 }}>
            <ConnectionStatus status={vehicle.connection_status} />
            <span>
              {vehicle.make} {vehicle.model}, {vehicle.year}
            </span>
          </Stack>
        }
        actions={<NewCommandButton vehicleId={vehicle.vehicle_id} />}
      />
      <Stack sx={{ gap: 2.5 }}>
        <LinkProblemNotice vehicle={vehicle} />
        <Section title="Identity">
          <Identity vehicle={vehicle} />
        </Section>
        <LockSection vehicle={vehicle} />
        <FaultSection vehicle={vehicle} ecuNames={ecuNames} />
        <Section title="ECUs" actions={<ScanEcus vehicle={vehicle} />}>
          <EcuTable vehicle={vehicle} />
        </Section>
        <VehicleCommands vehicle={vehicle} />
      </Stack>
    </>
  );
}

function NewCommandButton({ vehicleId }: { vehicleId: string }) {
  if (!useMay('engineer')) return null;
  return (
    <Button component={RouterLink} to={`/commands/new?vehicle=${vehicleId}`} variant="contained">
      New command
    </Button>
  );
}

function Identity({ vehicle }: { vehicle: Vehicle }) {
  const { link } = vehicle;
  return (
    <Facts
      items={[
        ['Make', vehicle.make],
        ['Model', vehicle.model],
        ['Year', vehicle.year],
        ['Link', LINKS[link.kind] ?? link.kind],
        ...(link.address === null ? [] : [['Address', <Code key="address">{link.address}</Code>] as const]),
        ['Last seen', <Time key="seen" at={vehicle.last_seen_at} style="relative" none="never" />],
        ['In the fleet since', <Time key="since" at={vehicle.created_at} style="full" />],
      ]}
    />
  );
}

const LINKS: Readonly<Record<string, string>> = {
  session: 'Session (it dials in)',
  sovd: 'SOVD (its own server)',
  doip: 'DoIP (it is dialled)',
};

function FaultSection({ vehicle, ecuNames }: { vehicle: Vehicle; ecuNames: ReadonlyMap<string, string> }) {
  const mayRead = useMay('engineer') && vehicle.ecus.length > 0;
  return (
    <Section title="Fault memory" actions={mayRead && <ReadAllFaults vehicle={vehicle} />}>
      <FaultMemory vehicleId={vehicle.vehicle_id} ecuNames={ecuNames} />
    </Section>
  );
}

const LATEST = 10;

function VehicleCommands({ vehicle }: { vehicle: Vehicle }) {
  const { vehicle_id: vehicleId } = vehicle;
  const query = useQuery(commandsQuery({ vehicle_id: vehicleId, limit: LATEST }));
  return (
    <Section
      title="Latest commands"
      actions={
        <Button component={RouterLink} to={`/commands?vehicle_id=${vehicleId}`} size="small">
          All of this vehicle
        </Button>
      }
    >
      <Loaded query={query}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState title="No commands yet" />
          ) : (
            <CommandTable commands={items} label="Table of the latest commands" vehicle={vehicle} />
          )
        }
      </Loaded>
    </Section>
  );
}
