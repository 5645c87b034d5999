import { styled } from '@mui/material/styles';
import { memo } from 'react';
import { Time } from '../../components/Time';
import type { ResponseEvent } from '../../live/events';
import { MONOSPACE } from '../../theme/theme';
import { AnswerBody } from './AnswerBody';

interface AnswerRowProps {
  answer: ResponseEvent;
  open: boolean;
  /** Whether the tab key stops here. */
  reachable: boolean;
  onToggle: (sequence: number) => void;
}

/**
 * One answer: its number and time, what it says, and its JSON on demand.
 *
 * Hundreds of these come and go in a second, so that they are made of plain elements.
 */
export const AnswerRow = memo(function AnswerRow({ answer, open, reachable, onToggle }: AnswerRowProps) {
  return (
    <Row>
      <Line>
        <Origin>
          <div>
            #{answer.sequence}
            {answer.attempt > 1 && ` · attempt ${answer.attempt}`}
          </div>
          <Time at={answer.receivedAt} style="milliseconds" plain />
        </Origin>
        <Content>
          <AnswerBody body={answer.body} />
        </Content>
        <JsonButton
          type="button"
          tabIndex={reachable ? 0 : -1}
          aria-expanded={open}
          aria-label={`JSON of answer ${answer.sequence}`}
          onClick={() => onToggle(answer.sequence)}
        >
          JSON
        </JsonButton>
      </Line>
      {open && <RawJson tabIndex={0}>{JSON.stringify(answer.body, null, 2)}</RawJson>}
    </Row>
  );
});

const Row = styled('div')(({ theme }) => ({
  borderBottom: `1px solid ${theme.vars.palette.divider}`,
  padding: '4px 16px',
}));

const Line = styled('div')({ display: 'flex', gap: 16, alignItems: 'flex-start' });

const Content = styled('div')({ flexGrow: 1, minWidth: 0 });

const Origin = styled('div')(({ theme }) => ({
  ...theme.typography.caption,
  color: theme.vars.palette.text.secondary,
  width: 112,
  flexShrink: 0,
  paddingTop: 8,
  fontVariantNumeric: 'tabular-nums',
}));

const JsonButton = styled('button')(({ theme }) => ({
  ...theme.typography.caption,
  fontWeight: 600,
  color: 'inherit',
  background: 'none',
  border: 0,
  borderRadius: 6,
  padding: '6px 8px',
  marginTop: 4,
  cursor: 'pointer',
  '&:hover': { background: theme.vars.palette.action.hover },
  '&:focus-visible': { outline: `2px solid ${theme.vars.palette.primary.main}` },
}));

const RawJson = styled('pre')(({ theme }) => ({
  margin: '0 0 8px',
  padding: 12,
  borderRadius: 8,
  background: theme.vars.palette.action.hover,
  overflow: 'auto',
  maxHeight: 360,
  fontFamily: MONOSPACE,
  fontSize: '0.8125rem',
}));
