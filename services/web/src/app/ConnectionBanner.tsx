import Alert from '@mui/material/Alert';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef, useSyncExternalStore } from 'react';
import { reachability } from '../api/reachability';

/** Says that the server is away; reads everything again when it is back. */
export function ConnectionBanner() {
  const reachable = useSyncExternalStore(reachability.reachable.subscribe, reachability.reachable.get);
  const queries = useQueryClient();
  const wasReachable = useRef(true);
  useEffect(() => {
    if (reachable && !wasReachable.current) void queries.invalidateQueries();
    wasReachable.current = reachable;
  }, [reachable, queries]);
  if (reachable) return null;
  return (
    <Alert
      severity="warning"
      variant="filled"
      role="status"
      sx={{ borderRadius: 0, position: 'sticky', top: 0, zIndex: 'appBar' }}
    >
      The server cannot be reached. What you see may be old; trying again. Nothing that vehicles answer is lost.
    </Alert>
  );
}
