import { useSyncExternalStore } from 'react';
import { Store } from '../lib/store';

/** One clock for everything that says how long ago something was. */
const TICK_MS = 15_000;
const now = new Store(new Date());
setInterval(() => now.set(new Date()), TICK_MS);

export function useNow(): Date {
  return useSyncExternalStore(now.subscribe, now.get);
}
