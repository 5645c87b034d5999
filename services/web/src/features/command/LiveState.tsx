import Typography from '@mui/material/Typography';
import { useEffect, useState } from 'react';
import { Dot } from '../../components/Dot';
import { useFeedState } from '../../live/useFeed';

/** A connection that is back this soon was not worth a word. */
const QUIET_MS = 800;

export function LiveState({ ended }: { ended: boolean }) {
  const lost = useLasting(useFeedState() !== 'open' && !ended);
  return (
    <Typography variant="body2" role="status" color="textSecondary">
      {ended ? (
        'All answers are here'
      ) : lost ? (
        <Dot tone="warning" active>
          Reconnecting…
        </Dot>
      ) : (
        <Dot tone="success">Live</Dot>
      )}
    </Typography>
  );
}

/** True once it has been so for a while. */
function useLasting(condition: boolean): boolean {
  const [lasting, setLasting] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLasting(condition), condition ? QUIET_MS : 0);
    return () => clearTimeout(timer);
  }, [condition]);
  return lasting && condition;
}
