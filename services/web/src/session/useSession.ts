import { useSyncExternalStore } from 'react';
import { session, type Role, type SessionState, type User } from './session';

export function useSessionState(): SessionState {
  return useSyncExternalStore(session.state.subscribe, session.state.get);
}

/** Only below the log-in guard. */
export function useUser(): User {
  const state = useSessionState();
  if (state.phase !== 'signed-in') throw new Error('useUser needs a user who is logged in');
  return state.user;
}

const RANK: Record<Role, number> = { viewer: 0, engineer: 1, admin: 2 };

/** Whether the user has this role or one above it. */
export function useMay(role: Role): boolean {
  return RANK[useUser().role] >= RANK[role];
}
