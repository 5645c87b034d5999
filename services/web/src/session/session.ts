/**
 * Who is logged in.
 *
 * The access token lives in memory only. The refresh token is an HttpOnly cookie, which this code never sees; it is good
 * for one use, so that refreshing happens once at a time, over all tabs of the browser. It is also the browser's: where
 * another user logs in in another tab, this one is theirs with its next refresh.
 */
import createClient from 'openapi-fetch';
import { apiAt } from '../api/address';
import type { components, paths } from '../api/generated/schema';
import { ApiProblem, toApiProblem, UserChanged } from '../api/problem';
import { send } from '../api/transport';
import { Store } from '../lib/store';
import { forgetLogin, hasLogin, rememberLogin } from './loginHint';

export type User = components['schemas']['UserAnswer'];
export type Role = User['role'];

export type SessionState =
  | { readonly phase: 'restoring' }
  | { readonly phase: 'unreachable' }
  | { readonly phase: 'signed-out'; readonly expired: boolean }
  | { readonly phase: 'signed-in'; readonly user: User };

/** A token this close to its end is not used any more: it would end on the way. */
const SPARE_MS = 20_000;
const CSRF_HEADER = { 'X-CSRF-Protection': '1' } as const;

const auth = createClient<paths>({ baseUrl: apiAt.base, credentials: apiAt.credentials, fetch: send });

export class Session {
  readonly state = new Store<SessionState>({ phase: 'restoring' });
  private token = '';
  private tokenEnd = 0;
  private refreshing: Promise<void> | undefined;

  /** After a page load: takes the log-in up again that the cookie stands for. */
  async restore(): Promise<void> {
    if (!hasLogin()) return this.end(false);
    this.state.set({ phase: 'restoring' });
    try {
      await this.refresh();
      await this.readUser();
    } catch (error) {
      if (isRefusal(error)) this.end(false);
      else this.state.set({ phase: 'unreachable' });
    }
  }

  async logIn(username: string, password: string): Promise<void> {
    const { data, error, response } = await auth.POST('/api/v1/auth/login', {
      body: { username, password, refresh_cookie: true },
    });
    if (data === undefined) throw toApiProblem(response, error);
    this.keep(data);
    await this.readUser();
    rememberLogin();
  }

  async logOut(): Promise<void> {
    const { error, response } = await auth.POST('/api/v1/auth/logout', { headers: await this.authorisation() });
    if (!response.ok && response.status !== 401) throw toApiProblem(response, error);
    this.end(false);
  }

  /** What a user changed about themselves shows everywhere. */
  async readUser(): Promise<void> {
    await this.readUserWith(await this.authorisation());
  }

  /**
   * Sends an API request as the user; refreshes the token before or, when the server does not take it, after. Raises
   * UserChanged, unsent, when it is another user's by then.
   */
  readonly send = async (request: Request): Promise<Response> => {
    const asking = this.userId();
    const again = request.clone();
    const response = await this.sendOnce(request, asking);
    if (response.status !== 401) return response;
    await this.refreshOrEnd();
    return this.sendOnce(again, asking);
  };

  private async sendOnce(request: Request, asking: string | undefined): Promise<Response> {
    if (Date.now() > this.tokenEnd - SPARE_MS) await this.refreshOrEnd();
    if (this.userId() !== asking) throw new UserChanged();
    request.headers.set('Authorization', `Bearer ${this.token}`);
    return send(request);
  }

  private async authorisation(): Promise<Record<string, string>> {
    if (Date.now() > this.tokenEnd - SPARE_MS) await this.refreshOrEnd();
    return { ...CSRF_HEADER, Authorization: `Bearer ${this.token}` };
  }

  private async refreshOrEnd(): Promise<void> {
    try {
      await this.refresh();
    } catch (error) {
      if (isRefusal(error)) this.end(true);
      throw error;
    }
  }

  private refresh(): Promise<void> {
    this.refreshing ??= alone(() => this.refreshNow()).finally(() => (this.refreshing = undefined));
    return this.refreshing;
  }

  private async refreshNow(): Promise<void> {
    const { data, error, response } = await auth.POST('/api/v1/auth/refresh', { headers: CSRF_HEADER });
    if (data === undefined) throw toApiProblem(response, error);
    // Before its token counts: what is sent with it is sent as the user whom the page names.
    if (this.userId() !== undefined) await this.readUserWith({ Authorization: `Bearer ${data.access_token}` });
    this.keep(data);
  }

  private async readUserWith(headers: Record<string, string>): Promise<void> {
    const { data, error, response } = await auth.GET('/api/v1/auth/me', { headers });
    if (data === undefined) throw toApiProblem(response, error);
    this.state.set({ phase: 'signed-in', user: data });
  }

  private userId(): string | undefined {
    const state = this.state.get();
    return state.phase === 'signed-in' ? state.user.user_id : undefined;
  }

  private keep(tokens: components['schemas']['Tokens']): void {
    this.token = tokens.access_token;
    this.tokenEnd = Date.now() + tokens.expires_in * 1000;
  }

  private end(expired: boolean): void {
    this.token = '';
    this.tokenEnd = 0;
    forgetLogin();
    this.state.set({ phase: 'signed-out', expired });
  }
}

/** Only a server that does not take the log-in any more ends it, not one that has no time for it now. */
function isRefusal(error: unknown): boolean {
  return error instanceof ApiProblem && error.status < 500 && error.status !== 429;
}

/** Two tabs that use the same refresh token look like a thief to the server. Locks exist on https and localhost. */
async function alone(work: () => Promise<void>): Promise<void> {
  if ('locks' in navigator) await navigator.locks.request('sovd-refresh', work);
  else await work();
}

export const session = new Session();
