/** Keeps the choice of light or dark in a cookie: nothing of this page is in localStorage. */
import type { StorageManager } from '@mui/material/styles';

const SECONDS = 365 * 86_400;

export const themeCookie: StorageManager = ({ key }) => ({
  get: (fallback: unknown) => read(`sovd_${key}`) ?? fallback,
  set: (value: unknown) => {
    document.cookie = `sovd_${key}=${encodeURIComponent(String(value))}; path=/; max-age=${SECONDS}; SameSite=Strict`;
  },
  subscribe: () => () => undefined,
});

function read(name: string): string | undefined {
  const found = document.cookie.split('; ').find((cookie) => cookie.startsWith(`${name}=`));
  return found === undefined ? undefined : decodeURIComponent(found.slice(name.length + 1));
}
