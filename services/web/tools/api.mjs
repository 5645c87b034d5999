/** The public API, as a script uses it. */
export class Api {
  constructor(address, token) {
    this.address = address;
    this.token = token;
  }

  static async logIn(address, username) {
    const { access_token: token } = await call(`${address}/api/v1/auth/login`, {
      body: { username, password: `${username}123` },
    });
    return new Api(address, token);
  }

  get(path) {
    return call(`${this.address}/api/v1${path}`, { token: this.token });
  }

  post(path, body) {
    return call(`${this.address}/api/v1${path}`, { token: this.token, body });
  }
}

/** A POST where there is a body. */
async function call(url, { token, body }) {
  const answer = await fetch(url, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}
