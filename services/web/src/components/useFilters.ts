import { useCallback } from 'react';
import { useLocation, useNavigation, useSearchParams } from 'react-router';

/** Filters that stand in the address, so that they can be shared and survive a reload. An empty value leaves it. */
export function useFilters(): [
  URLSearchParams,
  (changes: Readonly<Record<string, string | readonly string[]>>) => void,
] {
  const [search, setSearch] = useSearchParams();
  const leaving = useLeaving();
  const change = useCallback(
    (changes: Readonly<Record<string, string | readonly string[]>>) => {
      // A filter that was typed just before must not bring back the page that one leaves.
      if (leaving) return;
      setSearch(
        (before) => {
          const after = new URLSearchParams(before);
          for (const [name, value] of Object.entries(changes)) {
            after.delete(name);
            for (const each of typeof value === 'string' ? [value] : value) if (each !== '') after.append(name, each);
          }
          return after;
        },
        { replace: true },
      );
    },
    [setSearch, leaving],
  );
  return [search, change];
}

/** While the next page is being fetched, this one is still there. */
function useLeaving(): boolean {
  const next = useNavigation().location;
  const { pathname } = useLocation();
  return next !== undefined && next.pathname !== pathname;
}
