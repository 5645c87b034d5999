import { QueryClient } from '@tanstack/react-query';
import { isPassing } from './problem';

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      gcTime: 5 * 60_000,
      retry: (failures, error) => isPassing(error) && failures < 2,
      // Whether there is a connection is found out by trying.
      networkMode: 'always',
    },
    mutations: { networkMode: 'always' },
  },
});
