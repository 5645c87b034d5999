/** What tests do to the system behind the browser's back: stop and start parts of it, and call its API. */
import { inject, vi } from 'vitest';

const { url, control } = inject('system');

type Action = 'kill' | 'start' | 'terminate';
type Query = Readonly<Record<string, string>>;

/** Stops or starts a service or a vehicle that was away; resolves when that is done. */
export async function tell(action: Action, name: string): Promise<void> {
  await expectOk(await fetch(`${control}/${action}/${name}`, { method: 'POST' }));
}

export interface List<Item> {
  items: Item[];
}

export interface SentCommand {
  command_id: string;
  status: string;
}

/** The API as a script uses it, logged in as a user. */
export class Api {
  private readonly token: string;

  private constructor(token: string) {
    this.token = token;
  }

  static async logIn(username: string, password = `${username}123`): Promise<Api> {
    const { access_token: token } = (await call('POST', '/auth/login', '', { username, password })) as {
      access_token: string;
    };
    return new Api(token);
  }

  async get<Answer>(path: string, query: Query = {}): Promise<Answer> {
    return (await call('GET', `${path}?${new URLSearchParams(query).toString()}`, this.token)) as Answer;
  }

  async post<Answer>(path: string, body: object): Promise<Answer> {
    return (await call('POST', path, this.token, body)) as Answer;
  }

  async delete(path: string): Promise<void> {
    await call('DELETE', path, this.token);
  }

  async vehicleId(vin: string): Promise<string> {
    const { items } = await this.get<List<{ vehicle_id: string }>>('/vehicles', { search: vin });
    const [vehicle] = items;
    if (vehicle === undefined) throw new Error(`there is no vehicle ${vin}`);
    return vehicle.vehicle_id;
  }

  async send(vin: string, name: string, params: object): Promise<SentCommand> {
    const body = { vehicle_id: await this.vehicleId(vin), command_name: name, command_params: params };
    return this.post('/commands', body);
  }

  async untilEnded(commandId: string): Promise<void> {
    const hasEnded = async () =>
      (await this.get<{ completed_at: string | null }>(`/commands/${commandId}`)).completed_at !== null;
    await vi.waitUntil(hasEnded, { timeout: 20_000, interval: 50 });
  }

  /** Ends all log-ins of this user but this one. */
  async endOtherSessions(): Promise<void> {
    const { items } = await this.get<List<{ session_id: string; current: boolean }>>('/auth/sessions');
    for (const { session_id: id, current } of items) if (!current) await this.delete(`/auth/sessions/${id}`);
  }
}

let users = 0;

/** A user of this test's own, whose password is that of the demo's users. */
export async function createUser(role: 'viewer' | 'engineer' | 'admin' = 'engineer'): Promise<string> {
  users += 1;
  const username = `${role}-${process.pid}-${users}`;
  const admin = await Api.logIn('admin');
  const body = { username, role, password: passwordOf(username), full_name: `${role} ${users}` };
  await admin.post('/users', { ...body, email: `${username}@example.com` });
  return username;
}

export function passwordOf(username: string): string {
  return `${username}123`;
}

async function call(method: string, path: string, token: string, body?: object): Promise<unknown> {
  const headers = { 'Content-Type': 'application/json', ...(token === '' ? {} : { Authorization: `Bearer ${token}` }) };
  const init = body === undefined ? {} : { body: JSON.stringify(body) };
  const response = await fetch(`${url}/api/v1${path}`, { method, headers, ...init });
  await expectOk(response);
  return response.status === 204 ? undefined : await response.json();
}

async function expectOk(response: Response): Promise<void> {
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${await response.text()}`);
}
