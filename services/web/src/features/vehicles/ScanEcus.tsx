import Button from '@mui/material/Button';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import type { Vehicle } from '../../api/client';
import { toast, toastProblem } from '../../components/toast';
import { useFollowing } from '../../live/useFeed';
import { useMay } from '../../session/useSession';
import { commandsKey } from '../commands/queries';
import { readAgain } from '../commands/readAgain';
import { submitCommand } from '../commands/submit';

/** Asks the vehicle which ECUs it has; what a scan finds stays with the vehicle. */
export function ScanEcus({ vehicle }: { vehicle: Vehicle }) {
  const scan = useScan(vehicle.vehicle_id);
  if (!useMay('engineer')) return null;
  return (
    <Button size="small" variant="outlined" loading={scan.running} onClick={scan.start}>
      Scan ECUs
    </Button>
  );
}

function useScan(vehicleId: string) {
  const queries = useQueryClient();
  const submit = useMutation({
    mutationFn: () => submitCommand({ vehicle_id: vehicleId, command_name: 'ScanECUs', command_params: {} }),
    onError: (error) => toastProblem('The ECUs were not scanned', error),
    onSettled: () => queries.invalidateQueries({ queryKey: commandsKey }),
  });
  const { reset } = submit;
  const following = useFollowing(submit.data?.command_id);
  const status = following?.ended === true ? following.status?.status : undefined;
  useEffect(() => {
    if (status === undefined) return;
    readAgain(queries, vehicleId);
    if (status === 'completed') toast('success', 'The ECUs were scanned.');
    else toast('warning', 'The scan did not complete; the command below says why.');
    reset();
  }, [status, queries, vehicleId, reset]);
  return { start: () => submit.mutate(), running: submit.isPending || submit.data !== undefined };
}
