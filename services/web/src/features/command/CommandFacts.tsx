import Link from '@mui/material/Link';
import { Link as RouterLink } from 'react-router';
import type { Command } from '../../api/client';
import { Code } from '../../components/Code';
import { CopyButton } from '../../components/CopyButton';
import { Facts } from '../../components/Facts';
import { Time } from '../../components/Time';
import { describeParams } from '../commands/describeParams';
import { classLabel } from '../new-command/effects';

export function CommandFacts({ command, traceId }: { command: Command; traceId: string | undefined }) {
  return (
    <Facts
      items={[
        [
          'Vehicle',
          <Link key="vehicle" component={RouterLink} to={`/vehicles/${command.vehicle_id}`}>
            <Code>{command.vin}</Code>
          </Link>,
        ],
        ['Parameters', <Code key="parameters">{describeParams(command.command_params)}</Code>],
        ['Class', `${command.command_class}: ${classLabel(command.command_class)}`],
        ['If an attempt fails', command.repeatable ? 'it is tried again' : 'it is not repeated'],
        ['Attempt', command.attempt],
        ['Time-out', `${command.timeout_seconds} s`],
        ['Priority', command.priority],
        ['Runs until', <Time key="expires" at={command.expires_at} style="full" />],
        ['Sent by', command.username],
        ['Command id', <Identifier key="id" value={command.command_id} what="Command id" />],
        ...(traceId === undefined
          ? []
          : [['Trace id', <Identifier key="trace" value={traceId} what="Trace id" />] as const]),
      ]}
    />
  );
}

function Identifier({ value, what }: { value: string; what: string }) {
  return (
    <>
      <Code>{value}</Code> <CopyButton text={value} what={what} />
    </>
  );
}
