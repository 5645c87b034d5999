import { useDeferredValue, type ReactNode } from 'react';

/** Drawn right after the rest of the page, and giving way to what comes meanwhile: for what nobody waits for. */
export function Later({ children }: { children: ReactNode }) {
  return useDeferredValue(true, false) && children;
}
