import { useCallback } from 'react';
import { useSearchParams } from 'react-router';

/** Filters that stand in the address, so that they can be shared and survive a reload. An empty value leaves it. */
export function useFilters(): [
  URLSearchParams,
  (changes: Readonly<Record<string, string | readonly string[]>>) => void,
] {
  const [search, setSearch] = useSearchParams();
  const change = useCallback(
    (changes: Readonly<Record<string, string | readonly string[]>>) => {
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
    [setSearch],
  );
  return [search, change];
}
