import Typography from '@mui/material/Typography';
import { useEffect, useState } from 'react';
import { Dot } from '../../components/Dot';
import { useFeedState } from '../../live/useFeed';

/** A connection that is back this soon was not worth a word. */
const QUIET_MS = 800;

export function LiveState({ ended }: { ended: boolean }) {
  const connected = useLastingly(useFeedState() === 'open');
  return (
    <Typography variant="body2" role="status" color="textSecondary">
      {ended ? 'All answers are here' : <Connection connected={connected} />}
    </Typography>
  );
}

function Connection({ connected }: { connected: boolean | undefined }) {
  if (connected === undefined) return null;
  if (connected) return <Dot tone="success">Live</Dot>;
  return (
    <Dot tone="warning" active>
      Reconnecting…
    </Dot>
  );
}

/** False only once it has lasted; until then what was so before, and undefined where nothing was. */
function useLastingly(open: boolean): boolean | undefined {
  const [known, setKnown] = useState<boolean>();
  useEffect(() => {
    const timer = setTimeout(() => setKnown(open), open ? 0 : QUIET_MS);
    return () => clearTimeout(timer);
  }, [open]);
  return open || known;
}
