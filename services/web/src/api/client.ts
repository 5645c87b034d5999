/** The gateway's API, typed by its OpenAPI document, called as the user who is logged in. */
import createClient from 'openapi-fetch';
import { session } from '../session/session';
import { apiAt } from './address';
import type { components, paths } from './generated/schema';
import { OddAnswer, toApiProblem } from './problem';

export const api = createClient<paths>({ baseUrl: apiAt.base, credentials: apiAt.credentials, fetch: session.send });

interface Outcome<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/** The answer; raises ApiProblem, NetworkProblem or, when it is no JSON, OddAnswer. */
export async function answerOf<Data>(call: Promise<Outcome<Data>>): Promise<Data> {
  const { data, error, response } = await call.catch((reason: unknown) => {
    throw reason instanceof SyntaxError ? new OddAnswer() : reason;
  });
  if (!response.ok) throw toApiProblem(response, error);
  return data as Data;
}

/** The same for a list; what is no list of objects is an OddAnswer. */
export async function listOf<Data extends { items: object[] }>(call: Promise<Outcome<Data>>): Promise<Data> {
  const list = (await answerOf(call)) as { items?: unknown } | null | undefined;
  if (!Array.isArray(list?.items) || !list.items.every(isObject)) throw new OddAnswer();
  return list as Data;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

type Schemas = components['schemas'];

export type Vehicle = Schemas['VehicleAnswer'];
export type Command = Schemas['CommandAnswer'];
export type CommandStatus = Command['status'];
export type CommandType = Schemas['CommandTypeAnswer'];
