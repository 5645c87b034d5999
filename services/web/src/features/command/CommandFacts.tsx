import type { Command } from '../../api/client';
import { Code } from '../../components/Code';
import { CopyButton } from '../../components/CopyButton';
import { Facts } from '../../components/Facts';
import { Time } from '../../components/Time';
import { classLabel } from '../new-command/effects';

export function CommandFacts({ command }: { command: Command }) {
  return (
    <Facts
      items={[
        ['What it does', classLabel(command.command_class)],
        ['If an attempt fails', command.repeatable ? 'it is tried again' : 'it is not repeated'],
        ['Attempt', command.attempt],
        ['Time-out', `${command.timeout_seconds} s`],
        ['Priority', command.priority],
        ['Expires if not begun by', <Time key="expires" at={command.expires_at} style="full" />],
        ['Command id', <Identifier key="id" value={command.command_id} what="Command id" />, 'wide'],
        ...(command.trace_id === null
          ? []
          : [['Trace id', <Identifier key="trace" value={command.trace_id} what="Trace id" />, 'wide'] as const]),
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
