import Button from '@mui/material/Button';
import Typography from '@mui/material/Typography';
import { useState } from 'react';
import type { Vehicle } from '../../api/client';
import { ConfirmDialog } from '../../components/ConfirmDialog';
import { Section } from '../../components/Section';
import { Time } from '../../components/Time';
import { useMay } from '../../session/useSession';
import { useLock, useLockChange } from './locks';

/** Who alone may change anything on the vehicle, until when, and what the user can do about it. */
export function LockSection({ vehicle }: { vehicle: Vehicle }) {
  return (
    <Section title="Diagnostic lock" actions={<LockActions vehicle={vehicle} />}>
      <Typography variant="body2" sx={{ p: 2 }} role="status">
        <LockState vehicle={vehicle} />
      </Typography>
    </Section>
  );
}

function LockState({ vehicle }: { vehicle: Vehicle }) {
  const held = useLock(vehicle);
  if (held === null) {
    return 'Nobody has locked this vehicle. While it is locked, only who locked it may change anything on it; everybody can read.';
  }
  const { lock, own } = held;
  return (
    <>
      <strong>{own ? 'You have' : `${lock.owner} has`}</strong> locked this vehicle until{' '}
      <Time at={lock.expires_at} style="full" />.{' '}
      {own
        ? 'What others send to change it is refused, and what they sent before waits.'
        : 'Until then nobody else can change anything on it; reading stays possible.'}
    </>
  );
}

function LockActions({ vehicle }: { vehicle: Vehicle }) {
  const held = useLock(vehicle);
  const [mayLock, mayBreak] = [useMay('engineer'), useMay('admin')];
  const { mutate, isPending } = useLockChange(vehicle.vehicle_id);
  if (!mayLock) return null;
  if (held === null) {
    return (
      <Button size="small" variant="outlined" loading={isPending} onClick={() => mutate('take')}>
        Lock for 15 minutes
      </Button>
    );
  }
  if (held.own) {
    return (
      <>
        <Button size="small" variant="outlined" loading={isPending} onClick={() => mutate('renew')}>
          15 minutes from now
        </Button>
        <Button size="small" loading={isPending} onClick={() => mutate('release')}>
          Release
        </Button>
      </>
    );
  }
  return mayBreak && <BreakButton owner={held.lock.owner} busy={isPending} onBreak={() => mutate('break')} />;
}

function BreakButton({ owner, busy, onBreak }: { owner: string; busy: boolean; onBreak: () => void }) {
  const [asking, setAsking] = useState(false);
  const confirm = () => {
    setAsking(false);
    onBreak();
  };
  return (
    <>
      <Button size="small" color="warning" variant="outlined" loading={busy} onClick={() => setAsking(true)}>
        Break the lock…
      </Button>
      <ConfirmDialog
        open={asking}
        title={`Break the lock of ${owner}?`}
        confirm="Break the lock"
        color="warning"
        onConfirm={confirm}
        onClose={() => setAsking(false)}
      >
        Others may then change the vehicle while {owner} works on it. That you broke it is recorded.
      </ConfirmDialog>
    </>
  );
}
