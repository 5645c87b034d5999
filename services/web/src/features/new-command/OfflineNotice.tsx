import Alert from '@mui/material/Alert';
import type { Vehicle } from '../../api/client';
import { Time } from '../../components/Time';
import { useNow } from '../../components/useNow';

/** Said before sending: a vehicle that is away gets the command later, or never. */
export function OfflineNotice({ vehicle, expirySeconds }: { vehicle: Vehicle; expirySeconds: number }) {
  const now = useNow();
  if (vehicle.connection_status === 'online') return null;
  const { problem } = vehicle.link;
  const until = new Date(now.getTime() + expirySeconds * 1000);
  return (
    <Alert severity="info">
      The vehicle is offline{problem !== null && ` (${problem.reason})`}. The command will run when it returns, until{' '}
      <Time at={until.toISOString()} />. After that it expires without having run.
    </Alert>
  );
}
