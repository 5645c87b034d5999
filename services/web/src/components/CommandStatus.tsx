import { Dot, type Tone } from './Dot';

const STATUSES: Readonly<Record<string, { label: string; tone: Tone; active?: boolean }>> = {
  pending: { label: 'Pending', tone: 'neutral', active: true },
  dispatched: { label: 'Dispatched', tone: 'info', active: true },
  in_progress: { label: 'In progress', tone: 'primary', active: true },
  completed: { label: 'Completed', tone: 'success' },
  failed: { label: 'Failed', tone: 'error' },
  timed_out: { label: 'Timed out', tone: 'warning' },
  expired: { label: 'Expired', tone: 'warning' },
  cancelled: { label: 'Cancelled', tone: 'neutral' },
};

export function statusLabel(status: string): string {
  return STATUSES[status]?.label ?? status;
}

/** A status of the API; one that this page does not know is shown as it is. `past`: it was so, once. */
export function CommandStatusView({ status, past = false }: { status: string; past?: boolean }) {
  const known = STATUSES[status];
  return (
    <Dot tone={known?.tone ?? 'neutral'} active={known?.active === true && !past}>
      {statusLabel(status)}
    </Dot>
  );
}
