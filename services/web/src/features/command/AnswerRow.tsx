import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import Stack from '@mui/material/Stack';
import Typography from '@mui/material/Typography';
import { memo } from 'react';
import { Time } from '../../components/Time';
import type { ResponseEvent } from '../../live/events';
import { MONOSPACE } from '../../theme/theme';
import { AnswerBody } from './AnswerBody';

interface AnswerRowProps {
  answer: ResponseEvent;
  open: boolean;
  onToggle: (sequence: number) => void;
}

/** One answer: its number and time, what it says, and its JSON on demand. */
export const AnswerRow = memo(function AnswerRow({ answer, open, onToggle }: AnswerRowProps) {
  return (
    <Box sx={{ borderBottom: 1, borderColor: 'divider', px: 2, py: 0.5 }}>
      <Stack direction="row" sx={{ gap: 2, alignItems: 'flex-start' }}>
        <Typography
          variant="caption"
          color="textSecondary"
          component="div"
          sx={{ width: 112, flexShrink: 0, pt: 1, fontVariantNumeric: 'tabular-nums' }}
        >
          <div>
            #{answer.sequence}
            {answer.attempt > 1 && ` · attempt ${answer.attempt}`}
          </div>
          <Time at={answer.receivedAt} style="milliseconds" />
        </Typography>
        <Box sx={{ flexGrow: 1, minWidth: 0 }}>
          <AnswerBody body={answer.body} />
        </Box>
        <Button
          size="small"
          color="inherit"
          aria-expanded={open}
          aria-label={`JSON of answer ${answer.sequence}`}
          onClick={() => onToggle(answer.sequence)}
          sx={{ minWidth: 0, mt: 0.5 }}
        >
          JSON
        </Button>
      </Stack>
      {open && <RawJson body={answer.body} />}
    </Box>
  );
});

function RawJson({ body }: { body: unknown }) {
  return (
    <Box
      component="pre"
      tabIndex={0}
      sx={{
        m: 0,
        mb: 1,
        p: 1.5,
        borderRadius: 1,
        bgcolor: 'action.hover',
        overflow: 'auto',
        maxHeight: 360,
        fontFamily: MONOSPACE,
        fontSize: '0.8125rem',
      }}
    >
      {JSON.stringify(body, null, 2)}
    </Box>
  );
}
