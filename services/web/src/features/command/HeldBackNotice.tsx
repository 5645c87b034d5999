import Alert from '@mui/material/Alert';
import { useQuery } from '@tanstack/react-query';
import type { Command, Vehicle } from '../../api/client';
import { Time } from '../../components/Time';
import { useLock } from '../vehicles/locks';
import { vehicleQuery } from '../vehicles/queries';

/** Why a command that waits does not run: somebody else has locked its vehicle. */
export function HeldBackNotice({ command, status }: { command: Command; status: string }) {
  const mayBe = status === 'pending' && command.command_class !== 'read';
  // The vehicle's lock as it is now: it comes and goes while the command waits.
  const { data: vehicle } = useQuery({ ...vehicleQuery(command.vehicle_id), enabled: mayBe });
  return mayBe && vehicle !== undefined ? <HeldBack command={command} vehicle={vehicle} /> : null;
}

function HeldBack({ command, vehicle }: { command: Command; vehicle: Vehicle }) {
  const held = useLock(vehicle);
  if (held === null || held.lock.owner_id === command.user_id) return null;
  const { owner, expires_at: expiresAt } = held.lock;
  return (
    <Alert severity="info">
      {owner} has locked the vehicle until <Time at={expiresAt} />. The command waits until the lock ends, and expires
      if that takes too long.
    </Alert>
  );
}
