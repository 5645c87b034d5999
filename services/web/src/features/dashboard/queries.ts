import { queryOptions } from '@tanstack/react-query';
import { answerOf, api } from '../../api/client';
import type { components } from '../../api/generated/schema';

export type Summary = components['schemas']['Summary'];

export const HOURS = 24;
export const summaryKey = ['summary'] as const;

export const summaryQuery = queryOptions({
  queryKey: summaryKey,
  queryFn: ({ signal }) => answerOf(api.GET('/api/v1/summary', { params: { query: { hours: HOURS } }, signal })),
  refetchInterval: 5_000,
});
