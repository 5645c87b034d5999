import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import { answerOf, api } from '../../api/client';
import type { paths } from '../../api/generated/schema';
import type { Role } from '../../session/session';

type UserCalls = paths['/api/v1/users'];
export type UserQuery = NonNullable<UserCalls['get']['parameters']['query']>;
export type UserDetails = UserCalls['get']['responses']['200']['content']['application/json']['items'][number];
export type NewUser = UserCalls['post']['requestBody']['content']['application/json'];
export type UserChange = paths['/api/v1/users/{user_id}']['patch']['requestBody']['content']['application/json'];

export const usersKey = ['users'] as const;

export const ROLES: readonly (readonly [Role, string])[] = [
  ['viewer', 'Viewer: reads'],
  ['engineer', 'Engineer: sends commands'],
  ['admin', 'Administrator'],
];

/** What the server asks of a password. */
export const SHORTEST_PASSWORD = 12;

export const usersQuery = (query: UserQuery) =>
  queryOptions({
    queryKey: [...usersKey, query],
    queryFn: ({ signal }) => answerOf(api.GET('/api/v1/users', { params: { query }, signal })),
    placeholderData: keepPreviousData,
  });

export const userQuery = (userId: string) =>
  queryOptions({
    queryKey: [...usersKey, 'detail', userId],
    queryFn: ({ signal }) =>
      answerOf(api.GET('/api/v1/users/{user_id}', { params: { path: { user_id: userId } }, signal })),
  });

export const createUser = (body: NewUser) => answerOf(api.POST('/api/v1/users', { body }));

export const changeUser = (userId: string, body: UserChange) =>
  answerOf(api.PATCH('/api/v1/users/{user_id}', { params: { path: { user_id: userId } }, body }));

export const resetPassword = (userId: string, password: string) =>
  answerOf(
    api.POST('/api/v1/users/{user_id}/password', {
      params: { path: { user_id: userId } },
      body: { new_password: password },
    }),
  );
