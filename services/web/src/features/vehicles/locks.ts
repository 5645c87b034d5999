import { useMutation, useQueryClient } from '@tanstack/react-query';
import { answerOf, api, type Vehicle } from '../../api/client';
import { toastProblem } from '../../components/toast';
import { useNow } from '../../components/useNow';
import { useUser } from '../../session/useSession';
import { detailKey } from './queries';

type Lock = NonNullable<Vehicle['lock']>;

/** The lock that lasts now, and whether it is the user's own. */
export function useLock(vehicle: Vehicle): { lock: Lock; own: boolean } | null {
  const now = useNow();
  const { user_id: userId } = useUser();
  const { lock } = vehicle;
  // Its end is told by nobody.
  if (lock === null || new Date(lock.expires_at) <= now) return null;
  return { lock, own: lock.owner_id === userId };
}

export type LockChange = 'take' | 'renew' | 'release' | 'break';

const FAILURES: Readonly<Record<LockChange, string>> = {
  take: 'The vehicle was not locked',
  renew: 'The lock was not renewed',
  release: 'The lock was not released',
  break: 'The lock was not broken',
};

export function useLockChange(vehicleId: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (change: LockChange) => changeLock(vehicleId, change),
    onError: (error, change) => toastProblem(FAILURES[change], error),
    onSettled: () => queries.invalidateQueries({ queryKey: detailKey(vehicleId) }),
  });
}

function changeLock(vehicleId: string, change: LockChange): Promise<unknown> {
  const path = { vehicle_id: vehicleId };
  const url = '/api/v1/vehicles/{vehicle_id}/lock';
  switch (change) {
    case 'take':
      return answerOf(api.POST(url, { params: { path } }));
    case 'renew':
      return answerOf(api.PATCH(url, { params: { path } }));
    default:
      return answerOf(api.DELETE(url, { params: { path, query: { break: change === 'break' } } }));
  }
}
