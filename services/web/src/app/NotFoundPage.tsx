import Button from '@mui/material/Button';
import { Link } from 'react-router';
import { Notice } from '../components/Notice';

export function NotFoundPage() {
  return (
    <Notice
      title="There is nothing at this address"
      action={
        <Button component={Link} to="/" variant="contained">
          To the dashboard
        </Button>
      }
    >
      The link may be old, or mistyped.
    </Notice>
  );
}
