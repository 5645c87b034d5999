import NextIcon from '@mui/icons-material/ChevronRight';
import PreviousIcon from '@mui/icons-material/ChevronLeft';
import Button from '@mui/material/Button';
import Stack from '@mui/material/Stack';
import Typography from '@mui/material/Typography';
import type { CursorPages } from './useCursorPages';

/** Nothing, when all fits on one page. */
export function Pager({ pages, nextCursor }: { pages: CursorPages; nextCursor: string | null | undefined }) {
  const hasNext = nextCursor !== null && nextCursor !== undefined;
  if (pages.page === 1 && !hasNext) return null;
  return (
    <Stack
      component="nav"
      aria-label="Pages"
      direction="row"
      sx={{ p: 1, gap: 1, alignItems: 'center', justifyContent: 'flex-end' }}
    >
      <Button size="small" startIcon={<PreviousIcon />} disabled={pages.page === 1} onClick={pages.previous}>
        Previous
      </Button>
      <Typography variant="body2" aria-live="polite">
        Page {pages.page}
      </Typography>
      <Button size="small" endIcon={<NextIcon />} disabled={!hasNext} onClick={() => hasNext && pages.next(nextCursor)}>
        Next
      </Button>
    </Stack>
  );
}
