/** Where to go after the log-in: a page of ours, never another site, whatever the link says. */
export function safeReturn(path: string | null): string {
  if (!path?.startsWith('/')) return '/';
  const target = new URL(path, window.location.origin);
  if (target.origin !== window.location.origin || target.pathname === '/login') return '/';
  return target.pathname + target.search + target.hash;
}
