/** Where the API is: at this page's own address, unless another was built in. */
export interface ApiAddress {
  /** Without a slash at its end. */
  readonly base: string;
  /** The cookie of the refresh token goes to another address only where a request says so. */
  readonly credentials: RequestCredentials;
  /** `path` begins with a slash. */
  of(path: string): URL;
  ofSocket(path: string): URL;
}

export function apiAddress(builtIn: string | undefined, page: string): ApiAddress {
  const base = new URL(builtIn ?? '', page).href.replace(/\/$/, '');
  const of = (path: string) => new URL(base + path);
  return {
    base,
    credentials: new URL(base).origin === new URL(page).origin ? 'same-origin' : 'include',
    of,
    ofSocket(path) {
      const address = of(path);
      address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
      return address;
    },
  };
}

export const apiAt = apiAddress(import.meta.env.VITE_API_BASE_URL as string | undefined, window.location.origin);
