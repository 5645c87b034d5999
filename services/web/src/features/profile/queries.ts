import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import { answerOf, api } from '../../api/client';
import type { paths } from '../../api/generated/schema';

type SessionCalls = paths['/api/v1/auth/sessions'];
export type LoginSession = SessionCalls['get']['responses']['200']['content']['application/json']['items'][number];

export const loginSessionsKey = ['login-sessions'] as const;

export const loginSessionsQuery = (cursor: string) =>
  queryOptions({
    queryKey: [...loginSessionsKey, cursor],
    queryFn: ({ signal }) => answerOf(api.GET('/api/v1/auth/sessions', { params: { query: { cursor } }, signal })),
    placeholderData: keepPreviousData,
  });

export const endLoginSession = (sessionId: string) =>
  answerOf(api.DELETE('/api/v1/auth/sessions/{session_id}', { params: { path: { session_id: sessionId } } }));

export const changePassword = (current: string, next: string) =>
  answerOf(api.POST('/api/v1/auth/password', { body: { current_password: current, new_password: next } }));
