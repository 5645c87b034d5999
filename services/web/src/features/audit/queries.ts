import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import { answerOf, api } from '../../api/client';
import type { components, paths } from '../../api/generated/schema';

export type AuditQuery = NonNullable<paths['/api/v1/audit']['get']['parameters']['query']>;
export type AuditEntry = components['schemas']['AuditAnswer'];

export const auditQuery = (query: AuditQuery) =>
  queryOptions({
    queryKey: ['audit', query],
    queryFn: ({ signal }) => answerOf(api.GET('/api/v1/audit', { params: { query }, signal })),
    placeholderData: keepPreviousData,
  });

/** Reads the whole chain, so not more often than it has to. */
export const verificationQuery = queryOptions({
  queryKey: ['audit-verification'],
  queryFn: ({ signal }) => answerOf(api.GET('/api/v1/audit/verification', { signal })),
  staleTime: 10 * 60_000,
  refetchOnWindowFocus: false,
});
