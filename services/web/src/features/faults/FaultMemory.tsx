import Box from '@mui/material/Box';
import Divider from '@mui/material/Divider';
import Link from '@mui/material/Link';
import Stack from '@mui/material/Stack';
import Typography from '@mui/material/Typography';
import { useQuery } from '@tanstack/react-query';
import { Link as RouterLink } from 'react-router';
import type { components } from '../../api/generated/schema';
import { Code } from '../../components/Code';
import { EmptyState, Loaded } from '../../components/states';
import { Time } from '../../components/Time';
import { faultMemoryQuery } from '../vehicles/queries';
import { compareReadings, type FaultReading } from './compareReadings';
import { readFaults } from './fault';
import { FaultView } from './FaultView';

type Reading = components['schemas']['Reading'];

interface FaultMemoryProps {
  vehicleId: string;
  ecuNames: ReadonlyMap<string, string>;
}

/** The latest fault memory of each ECU, compared with the reading before. */
export function FaultMemory({ vehicleId, ecuNames }: FaultMemoryProps) {
  const query = useQuery(faultMemoryQuery(vehicleId));
  return (
    <Loaded query={query}>
      {({ items }) =>
        items.length === 0 ? (
          <EmptyState title="No fault memory has been read yet">
            {ecuNames.size === 0
              ? 'Scan the ECUs first: which there are is not known.'
              : 'Read them all to see what the vehicle has stored. Nothing is changed by that.'}
          </EmptyState>
        ) : (
          <Stack divider={<Divider />}>
            {items.map(({ ecu_address: address, latest, previous }) => (
              <EcuFaults
                key={address}
                address={address}
                name={ecuNames.get(address)}
                latest={latest}
                previous={previous}
              />
            ))}
          </Stack>
        )
      }
    </Loaded>
  );
}

interface EcuFaultsProps {
  address: string;
  name: string | undefined;
  latest: Reading;
  previous: Reading | null;
}

function EcuFaults({ address, name, latest, previous }: EcuFaultsProps) {
  const reading = faultsOf(latest);
  const compared = compareReadings(reading, previous === null ? undefined : faultsOf(previous));
  return (
    <Box sx={{ px: 2, py: 1.5 }}>
      <Stack direction="row" sx={{ gap: 1, alignItems: 'baseline', flexWrap: 'wrap' }}>
        <Typography variant="h3">
          {name !== undefined && `${name} `}
          <Code>{address}</Code>
        </Typography>
        <Typography variant="body2" color="textSecondary" sx={{ flexGrow: 1 }}>
          {countText(reading)}
        </Typography>
        <Typography variant="caption" color="textSecondary">
          <Link component={RouterLink} underline="always" to={`/commands/${latest.command_id}`}>
            read
          </Link>{' '}
          <Time at={latest.completed_at} style="relative" />
          {previous !== null && (
            <>
              , compared with{' '}
              <Link component={RouterLink} underline="always" to={`/commands/${previous.command_id}`}>
                the reading before
              </Link>
            </>
          )}
        </Typography>
      </Stack>
      {compared.map(({ fault, change, changedBits }) => (
        <FaultView key={fault.code} fault={fault} change={change} changedBits={changedBits} />
      ))}
    </Box>
  );
}

function faultsOf({ dtcs, truncated }: Reading): FaultReading {
  return { faults: readFaults(dtcs), truncated };
}

function countText({ faults, truncated }: FaultReading): string {
  if (truncated) return `more faults than the ${faults.length} shown here`;
  return faults.length === 0 ? 'no faults' : faults.length === 1 ? '1 fault' : `${faults.length} faults`;
}
