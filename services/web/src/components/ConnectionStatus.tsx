import { Dot } from './Dot';

const LABELS: Readonly<Record<string, string>> = { online: 'Online', offline: 'Offline' };

export function ConnectionStatus({ status }: { status: string }) {
  return <Dot tone={status === 'online' ? 'success' : 'neutral'}>{LABELS[status] ?? status}</Dot>;
}
