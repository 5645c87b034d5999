import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Session } from './session';
import { forgetLogin, hasLogin, rememberLogin } from './loginHint';

const USER = { user_id: 'u', username: 'engineer', email: 'e@example.com', full_name: 'E', role: 'engineer' };

/** Answers by path; what a path has several answers for comes in turn, the last one again and again. */
function serve(answers: Record<string, (() => Response)[]>) {
  const calls: Request[] = [];
  const answer = (request: Request) => {
    calls.push(request);
    const left = answers[new URL(request.url).pathname] ?? [];
    const next = left.length > 1 ? left.shift() : left[0];
    return next === undefined ? Promise.reject(new TypeError('no network')) : Promise.resolve(next());
  };
  vi.stubGlobal('fetch', vi.fn(answer));
  return calls;
}

const json = (status: number, body: object) => () =>
  new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } });
const tokens = (token: string, seconds = 900) => json(200, { access_token: token, expires_in: seconds });
const refused = (code: string) => json(401, { status: 401, code, detail: 'no' });

const LOGIN = '/api/v1/auth/login';
const REFRESH = '/api/v1/auth/refresh';
const ME = '/api/v1/auth/me';
const THING = '/api/v1/vehicles';

const ask = (session: Session) => session.send(new Request(`${window.location.origin}${THING}`));
const tokensSent = (calls: Request[]) =>
  calls.filter(({ url }) => url.endsWith(THING)).map((call) => call.headers.get('Authorization'));

beforeEach(() => forgetLogin());

describe('a log-in', () => {
  it('keeps the token in memory and asks for the cookie', async () => {
    const calls = serve({ [LOGIN]: [tokens('a')], [ME]: [json(200, USER)] });
    const session = new Session();
    await session.logIn('engineer', 'secret');
    expect(await calls[0]?.clone().json()).toMatchObject({ refresh_cookie: true });
    expect(session.state.get()).toMatchObject({ phase: 'signed-in', user: { username: 'engineer' } });
    expect(hasLogin()).toBe(true);
    expect(document.cookie).not.toContain('=a');
  });

  it('that is refused raises the problem', async () => {
    serve({ [LOGIN]: [refused('INVALID_CREDENTIALS')] });
    await expect(new Session().logIn('engineer', 'wrong')).rejects.toMatchObject({ code: 'INVALID_CREDENTIALS' });
  });
});

describe('after a page load', () => {
  it('nobody is asked when nobody had logged in', async () => {
    const calls = serve({});
    const session = new Session();
    await session.restore();
    expect(calls).toEqual([]);
    expect(session.state.get()).toEqual({ phase: 'signed-out', expired: false });
  });

  it('the session goes on by its cookie, with the header against forgery', async () => {
    rememberLogin();
    const calls = serve({ [REFRESH]: [tokens('b')], [ME]: [json(200, USER)] });
    const session = new Session();
    await session.restore();
    expect(calls[0]?.headers.get('X-CSRF-Protection')).toBe('1');
    expect(session.state.get().phase).toBe('signed-in');
  });

  it('a session that ended is forgotten', async () => {
    rememberLogin();
    serve({ [REFRESH]: [refused('INVALID_TOKEN')] });
    const session = new Session();
    await session.restore();
    expect(session.state.get().phase).toBe('signed-out');
    expect(hasLogin()).toBe(false);
  });

  it('a server that is away is no reason to log in again', async () => {
    rememberLogin();
    serve({});
    const session = new Session();
    await session.restore();
    expect(session.state.get()).toEqual({ phase: 'unreachable' });
    expect(hasLogin()).toBe(true);
  });

  it.each([[REFRESH], [ME]])(
    'a server that has no time now for %s is no reason to log in again either',
    async (path) => {
      rememberLogin();
      const busy = json(429, { status: 429, code: 'RATE_LIMITED', detail: 'too many requests' });
      serve({ [REFRESH]: [tokens('b')], [ME]: [json(200, USER)], [path]: [busy] });
      const session = new Session();
      await session.restore();
      expect(session.state.get()).toEqual({ phase: 'unreachable' });
      expect(hasLogin()).toBe(true);
    },
  );
});

describe('a call', () => {
  async function loggedIn(first: () => Response, others: Record<string, (() => Response)[]>) {
    const calls = serve({ [LOGIN]: [first], [ME]: [json(200, USER)], ...others });
    const session = new Session();
    await session.logIn('engineer', 'secret');
    return { session, calls };
  }

  it('whose token was not taken is sent again with a fresh one', async () => {
    const things = [refused('TOKEN_EXPIRED'), json(200, {})];
    const { session, calls } = await loggedIn(tokens('old'), { [REFRESH]: [tokens('new')], [THING]: things });
    expect((await ask(session)).status).toBe(200);
    expect(tokensSent(calls)).toEqual(['Bearer old', 'Bearer new']);
  });

  it('with a token that is about to end gets a fresh one first', async () => {
    const { session, calls } = await loggedIn(tokens('short', 25), {
      [REFRESH]: [tokens('new')],
      [THING]: [json(200, {})],
    });
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 10_000);
    await ask(session);
    expect(tokensSent(calls)).toEqual(['Bearer new']);
  });

  it('and its neighbours share one refresh: each token of it is good once', async () => {
    const things = [refused('TOKEN_EXPIRED'), refused('TOKEN_EXPIRED'), refused('TOKEN_EXPIRED'), json(200, {})];
    const { session, calls } = await loggedIn(tokens('old'), { [REFRESH]: [tokens('new')], [THING]: things });
    await Promise.all([ask(session), ask(session), ask(session)]);
    expect(calls.filter(({ url }) => url.endsWith(REFRESH))).toHaveLength(1);
  });

  it('ends the session when there is no fresh token any more', async () => {
    const { session } = await loggedIn(tokens('old'), { [REFRESH]: [refused('X')], [THING]: [refused('X')] });
    await expect(ask(session)).rejects.toMatchObject({ status: 401 });
    expect(session.state.get()).toEqual({ phase: 'signed-out', expired: true });
  });

  it('does not end the session when the server is away', async () => {
    const { session } = await loggedIn(tokens('old'), { [THING]: [refused('TOKEN_EXPIRED')] });
    await expect(ask(session)).rejects.toMatchObject({ name: 'NetworkProblem' });
    expect(session.state.get().phase).toBe('signed-in');
  });

  it('is not sent for another who has logged in meanwhile, in another tab; the page says whose it is now', async () => {
    const { session, calls } = await loggedIn(tokens('old'), {
      [REFRESH]: [tokens('of another')],
      [ME]: [json(200, USER), json(200, { ...USER, user_id: 'v', username: 'admin', role: 'admin' })],
      [THING]: [refused('TOKEN_EXPIRED'), json(200, {})],
    });
    await expect(ask(session)).rejects.toMatchObject({ name: 'UserChanged' });
    expect(tokensSent(calls)).toEqual(['Bearer old']);
    expect(session.state.get()).toMatchObject({ phase: 'signed-in', user: { username: 'admin' } });
    await ask(session);
    expect(tokensSent(calls)).toEqual(['Bearer old', 'Bearer of another']);
  });

  it('waits for the answer to whose token it is now', async () => {
    const me = [json(200, USER), json(503, {}), json(200, USER)];
    const things = [refused('TOKEN_EXPIRED'), refused('TOKEN_EXPIRED'), json(200, {})];
    const { session, calls } = await loggedIn(tokens('old'), {
      [REFRESH]: [tokens('x'), tokens('y')],
      [ME]: me,
      [THING]: things,
    });
    await expect(ask(session)).rejects.toMatchObject({ status: 503 });
    expect((await ask(session)).status).toBe(200);
    expect(tokensSent(calls)).toEqual(['Bearer old', 'Bearer old', 'Bearer y']);
  });
});
