import Button from '@mui/material/Button';
import { useRouteError } from 'react-router';
import { Notice } from '../components/Notice';
import { describeProblem } from '../api/problem';

/** After a new release, the chunks of the old one are gone: loading the page again gets the new one. */
export function BrokenPage() {
  const error = useRouteError();
  return (
    <Notice
      title="This page broke"
      action={
        <Button variant="contained" onClick={() => window.location.reload()}>
          Load it again
        </Button>
      }
    >
      {describeProblem(error)}
    </Notice>
  );
}
