/** The gateway's API, typed by its OpenAPI document, called as the user who is logged in. */
import createClient from 'openapi-fetch';
import { session } from '../session/session';
import type { components, paths } from './generated/schema';
import { toApiProblem } from './problem';

export const api = createClient<paths>({ baseUrl: window.location.origin, fetch: session.send });

interface Outcome<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/** The answer; raises ApiProblem or NetworkProblem. */
export async function answerOf<Data>(call: Promise<Outcome<Data>>): Promise<Data> {
  const { data, error, response } = await call;
  if (!response.ok) throw toApiProblem(response, error);
  return data as Data;
}

type Schemas = components['schemas'];

export type Vehicle = Schemas['VehicleAnswer'];
export type Command = Schemas['CommandAnswer'];
export type CommandStatus = Command['status'];
export type CommandType = Schemas['CommandTypeAnswer'];
