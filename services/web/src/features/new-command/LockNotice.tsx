import Alert from '@mui/material/Alert';
import type { CommandType, Vehicle } from '../../api/client';
import { Time } from '../../components/Time';
import { useLock } from '../vehicles/locks';

/** Said before sending: who else has locked the vehicle, and that a command that changes it is refused. */
export function LockNotice({ vehicle, type }: { vehicle: Vehicle; type: CommandType }) {
  const held = useLock(vehicle);
  if (held === null || held.own || type.command_class === 'read') return null;
  const { owner, expires_at: expiresAt } = held.lock;
  return (
    <Alert severity="warning">
      {owner} has locked this vehicle until <Time at={expiresAt} />. {type.name} would change it, and would be refused.
      Reading is possible.
    </Alert>
  );
}
