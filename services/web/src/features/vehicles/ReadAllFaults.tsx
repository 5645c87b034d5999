import Button from '@mui/material/Button';
import LinearProgress from '@mui/material/LinearProgress';
import Stack from '@mui/material/Stack';
import Typography from '@mui/material/Typography';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import type { Vehicle } from '../../api/client';
import { toast, toastProblem } from '../../components/toast';
import { useFollowedCommands } from '../../live/useFeed';
import { commandsKey } from '../commands/queries';
import { readAgain } from '../commands/readAgain';
import { submitCommand } from '../commands/submit';

const NOTHING: readonly string[] = [];

/** One `ReadDTC` per ECU; they run beside each other, and the bar counts those that have ended. */
export function ReadAllFaults({ vehicle }: { vehicle: Vehicle }) {
  const reading = useReadAll(vehicle);
  if (reading.total === 0) {
    return (
      <Button size="small" variant="outlined" loading={reading.sending} onClick={reading.start}>
        Read all fault memories
      </Button>
    );
  }
  const waiting = vehicle.connection_status === 'offline' ? ', waiting for the vehicle' : '';
  return (
    <Stack sx={{ width: 260, py: 1 }}>
      <Typography variant="caption" id="read-all-label" aria-live="polite">
        {reading.done} of {reading.total} ECUs read{waiting}
      </Typography>
      <LinearProgress
        variant="determinate"
        aria-labelledby="read-all-label"
        value={(reading.done / reading.total) * 100}
      />
    </Stack>
  );
}

function useReadAll(vehicle: Vehicle) {
  const queries = useQueryClient();
  const { vehicle_id: vehicleId } = vehicle;
  const submit = useMutation({
    mutationFn: () => submitForEach(vehicle),
    onError: (error) => toastProblem('The fault memories were not read', error),
    onSettled: () => queries.invalidateQueries({ queryKey: commandsKey }),
  });
  const { reset } = submit;
  const commandIds = submit.data ?? NOTHING;
  const statuses = useFollowedCommands(commandIds);
  const ended = commandIds.map((id) => statuses.get(id)).filter((following) => following?.ended === true);
  const done = ended.length;
  const failed = ended.filter((following) => following?.status?.status !== 'completed').length;
  useEffect(() => {
    if (done > 0) readAgain(queries, vehicleId);
    if (done === 0 || done < commandIds.length) return;
    tellOutcome(done, failed);
    reset();
  }, [done, failed, commandIds.length, queries, vehicleId, reset]);
  return { start: () => submit.mutate(), sending: submit.isPending, total: commandIds.length, done };
}

/** Those that could be sent: a vehicle takes only so many at a time. Raises what was wrong when none could be. */
async function submitForEach({ vehicle_id, ecus }: Vehicle): Promise<string[]> {
  const outcomes = await Promise.allSettled(
    ecus.map(({ address }) =>
      submitCommand({ vehicle_id, command_name: 'ReadDTC', command_params: { ecuAddress: address } }),
    ),
  );
  const sent = outcomes.filter((outcome) => outcome.status === 'fulfilled').map(({ value }) => value.command_id);
  const refused = outcomes.find((outcome) => outcome.status === 'rejected');
  if (refused === undefined) return sent;
  if (sent.length === 0) throw refused.reason;
  toastProblem(`${ecus.length - sent.length} of ${ecus.length} ECUs cannot be read now`, refused.reason);
  return sent;
}

function tellOutcome(done: number, failed: number): void {
  if (failed === 0) toast('success', `The fault memories of ${done} ECUs were read.`);
  else toast('warning', `${failed} of ${done} ECUs could not be read; the commands below say why.`);
}
